/* Starting the spawner. Read by cffi and included by C. */

/* Execs program with arguments (NULL-terminated) as a child of this thread, with the other end of a new SOCK_SEQPACKET
 * socket as its descriptor 3 and an almost empty environment. Returns the pid and sets socket_fd (close-on-exec,
 * non-blocking), or -errno. */
int spawner_start(const char *program, char *const arguments[], int *socket_fd);
