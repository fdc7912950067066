/* The launcher's part in a start with devices. */
#ifndef VMM_MAIN_DEVICE_SUPERVISOR_EARLY_SPAWNER_H
#define VMM_MAIN_DEVICE_SUPERVISOR_EARLY_SPAWNER_H

#include <stddef.h>

/*
 * Starts the spawner and asks it for a zygote if the VM's arguments have devices, so that the zygote warms up while
 * main's own Python does. What it can't do it leaves to main.
 *
 * launcher is this program, command what a Python of ours begins with (interpreter and options, NULL-terminated),
 * code the folder of our packages. Writes "bulkhead_spawner=PID:SOCKET:ZYGOTE:WHOSE:FILTERS" to option: an -X option
 * for main's Python. Returns 0 if there is nothing to start, or nothing was.
 */
int early_spawner(char *option, size_t size, char **argv, char *launcher, char *const *command, const char *code);

#endif
