/* The zygote's one raw clone. Read by cffi and included by C. */

/* Clones a device process with namespaces of its own, as a child of the zygote's parent. Returns its pid in the
 * zygote, 0 in the process itself, or -errno. For a single-threaded caller. */
int device_clone(void);
/* Maps uid and gid 0 of a process's user namespace to these of ours, and nothing else. Returns 0 or -errno. */
int device_map_ids(int pid, uint32_t uid, uint32_t gid);
