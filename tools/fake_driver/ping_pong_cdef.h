/* A bare eventfd ping-pong: the least that a kick and a call between two threads can cost. Read by cffi and C. */

/* Answers `count` kicks with a call each. Returns 0 or -errno. Both descriptors block. */
int ping_pong_answer(int kick_fd, int call_fd, uint32_t count);
/* Kicks and waits for the call, `count` times; each time in ns. Returns 0 or -errno. */
int ping_pong_ask(int kick_fd, int call_fd, uint64_t *samples_ns, uint32_t count);
