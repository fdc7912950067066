/*
 * How a worker says that it is the host which takes its time. Read by cffi and included by C; nothing needs to come
 * first.
 */

/* Around a system call on a back end, in a worker thread; not nested. Elsewhere they do nothing. */
void host_call_begins(void);
void host_call_ends(void);

/* Where the calling thread counts both, from now on. */
void host_call_count_in(uint64_t *counter);
