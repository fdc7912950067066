/* What ps and top call a process: Python's own name says nothing. Read by cffi and included by C. */

/* Names the calling thread, and so a process that has no other; a longer name is cut. Returns 0 or -errno. */
int process_set_name(const char *name);
