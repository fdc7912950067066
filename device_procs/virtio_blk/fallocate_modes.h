/*
 * How parts of an image are given back and zeroed: never so that its size changes. The worker's profile lets these
 * modes through and no other. KEEP_SIZE only where there must be (a hole): with it, file systems such as ext4 and XFS
 * take room beyond a file's end without a look at RLIMIT_FSIZE.
 */
#include <linux/falloc.h>

#define PUNCH_MODE (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO_MODE FALLOC_FL_ZERO_RANGE
