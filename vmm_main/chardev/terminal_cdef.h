/* The terminal's settings, saved so that even a crash puts them back. Read by cffi and included by C. */

/* Makes the terminal at fd raw. Whatever ends the process but SIGKILL restores it. Returns 0 or -errno. */
int terminal_make_raw(int fd);
/* Puts the settings back; once is enough, more do no harm. */
void terminal_restore(void);
