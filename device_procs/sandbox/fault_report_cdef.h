/* How a device process writes its own end to its black box. Read by cffi and included by C. */

/* Maps the black box and closes fd; from then on, handlers write refused system calls and faults there. The calling
 * thread is the control thread. Returns NULL with errno set on failure. */
struct black_box *black_box_attach(int fd);
/* Says which BLACK_BOX_*_THREAD the calling thread is, and gives its handlers a stack of their own. Every thread calls
 * it before it does anything that may fail. */
void black_box_set_thread(uint32_t thread);
