/* Making a device process; read by cffi and included by C. */

struct device_birth {
    uint32_t host_uid; /* what root is, of its user namespace, on the host */
    uint32_t host_gid;
    int pid;
    int mapped_fd;    /* where it is told that its ids are mapped, or sees the end if they can't be */
    struct jail jail; /* the caller's to fill, but for maps_fd */
};

/*
 * Makes a process in namespaces of its own, whose parent is the caller's. Returns its pid, or 0 in it, or -errno. The
 * caller goes on with device_map_ids().
 */
int device_clone(struct device_birth *birth);
/* Gives it its uid and gid, and tells it. Returns 0 or -errno: then it sees the end of the pipe. */
int device_map_ids(struct device_birth *birth);
