/* What main says when its own filter refuses a system call. Read by cffi and included by C. */

/* From now on, a refused call is written to fd in one line, and ends the process with status 159 (128 + SIGSYS).
 * Returns 0 or -errno. */
int refused_call_report_to(int fd);
