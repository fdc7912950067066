/* What a process may do beyond its uid; main and device processes drop it alike. Read by cffi and included by C. */

/* A bit per capability: 1 << CAP_*, as in /proc/PID/status. */
#define CAPABILITY_SETGID 0x40
#define CAPABILITY_SETUID 0x80

/* Keeps no capability but these, in any of the five sets of the calling thread, and none of them inheritable or
 * ambient; the bounding set is emptied as a whole, but for a process without CAP_SETPCAP, which can't do that:
 * no_new_privileges() must follow. Returns 0 or -errno. */
int capabilities_keep(uint64_t kept);
/* Nothing that is executed from now on gains privileges; filters need it. Returns 0 or -errno. */
int no_new_privileges(void);
