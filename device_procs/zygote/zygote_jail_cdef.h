/* What the zygote takes from itself before it serves. Read by cffi and included by C. */

/* What the user's uid and gid are called in an unprivileged zygote's user namespace. Not 0: who maps a root of its own
 * into a further namespace, as a device's root will be, would need CAP_SETFCAP for it. */
#define ZYGOTE_OWN_ID 1

/* Kills this process when the thread that had it made (main's own) dies; fails with -ESRCH if it has. 0 or -errno. */
int zygote_die_with_main(int main_pid);
/* Enters the VM's empty net namespace; unprivileged, in a new user namespace. Returns 0 or -errno. */
int zygote_enter_net_namespace(int privileged);
/* Gives the new user namespace its only uid and gid, which the process had outside. Returns 0 or -errno. */
int zygote_map_own_ids(uint32_t uid, uint32_t gid);
/* Drops all capabilities but those that write a device's uid and gid maps, for good. Returns 0 or -errno. */
int zygote_drop_privileges(void);
