/* Memory of the guest's own: behind the image, and above 4 GiB. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>

/* bytes of RAM, aligned to a page, from behind the image; not cleared. */
void *allocate(uint64_t bytes);
/* Maps the 2 MiB page that holds gpa, which is 4 GiB or more, where it is. */
void map_high(uint64_t gpa);

#endif
