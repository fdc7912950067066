/* The other mode of the `bulkhead` program: linked with vmm_main/launcher.c. */
#ifndef DEVICE_PROCS_ZYGOTE_SPAWNER_H
#define DEVICE_PROCS_ZYGOTE_SPAWNER_H

#define SPAWNER_NAME "bulkhead-spawner"
#define SPAWNER_SOCKET 3

/* argv: SPAWNER_NAME, main's pid, then the zygote's command line. Returns the exit status. */
int spawner_main(char **argv);

#endif
