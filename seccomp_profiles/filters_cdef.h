/* Filters of system calls, compiled from the profiles when the package is built. Read by cffi and included by C. */

/* What a profile lets through: a call, and what its arguments must be ("" for anything). */
struct filter_rule {
    const char *call;
    const char *condition;
    int32_t number; /* of the call */
};

/* Puts the calling thread, and the threads it makes from now on, under a profile: all else raises SIGSYS. Needs
 * no_new_privs. Returns 0, -ENOENT if there is no such profile, or -errno. */
int filters_install(const char *profile);
/* -disable-seccomp: filters_install() does nothing from now on. */
void filters_disable(void);
/* Sets rules to a profile's table and returns its length, or -ENOENT. */
int filters_rules(const char *profile, const struct filter_rule **rules);
/* Sets program to a profile's compiled instructions (struct sock_filter), and returns their number, or -ENOENT. */
int filters_program(const char *profile, const void **program);
/* A system call's name on this machine, or NULL. */
const char *system_call_name(int number);
