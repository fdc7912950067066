/* The vCPU run loop and the process-wide C that main needs; read by cffi and included by C. */

/* What ended vcpu_run(), beyond KVM's own exit reasons (which are small positive numbers). */
#define VCPU_KICKED -4 /* -EINTR: somebody called vcpu_kick() */

/* Exit reasons that vcpu_run() hands to Python, as <linux/kvm.h> numbers them (checked in vcpu_loop.c). */
#define VCPU_EXIT_IO 2
#define VCPU_EXIT_HLT 5
#define VCPU_EXIT_MMIO 6
#define VCPU_EXIT_SHUTDOWN 8
#define VCPU_EXIT_FAIL_ENTRY 9
#define VCPU_EXIT_INTERNAL_ERROR 17
#define VCPU_EXIT_SYSTEM_EVENT 24

struct uart16550;
struct mmio_interrupts;

/* One exit, copied out of struct kvm_run. data points into kvm_run: a read is answered by writing there. */
struct vcpu_exit {
    uint64_t address;  /* IO: port; MMIO: guest-physical address; INTERNAL_ERROR: suberror; FAIL_ENTRY: reason */
    uint32_t size;     /* bytes of one access */
    uint32_t count;    /* IO: accesses (string instructions make many), lying one behind the other in data */
    uint32_t is_write;
    uint8_t *data;
};

struct vcpu {
    int fd;
    uint32_t id;
    void *run; /* struct kvm_run, shared with the kernel */
    size_t run_size;
    struct uart16550 *uart; /* NULL: no UART */
    uint16_t uart_port;
    struct mmio_interrupts *mmio_interrupts; /* NULL: no virtio-mmio device */
    uint64_t thread; /* pthread_t of the thread in vcpu_attach_thread() */
    int attached;
    uint64_t c_exits; /* exits answered without Python */
    struct vcpu_exit exit;
};

/* Creates vCPU id of vm_fd and maps its run area. Returns 0 or -errno. */
int vcpu_init(struct vcpu *vcpu, int vm_fd, uint32_t id, size_t run_size);
void vcpu_deinit(struct vcpu *vcpu);
/* Must be called by the thread that will run the vCPU, before vcpu_run(). Returns the thread's id. */
int vcpu_attach_thread(struct vcpu *vcpu);
/* Must be called by that thread before it ends: no kick goes there afterwards. */
void vcpu_detach_thread(struct vcpu *vcpu);
/* Runs the guest until an exit that Python must see (its reason), a kick (VCPU_KICKED) or an error (-errno). */
int vcpu_run(struct vcpu *vcpu);
/* Makes vcpu_run() return VCPU_KICKED, at once or when it is next called. Any thread. */
void vcpu_kick(struct vcpu *vcpu);

/* ioctl with a pointer or a plain value. Returns the ioctl's result or -errno. */
long kvm_ioctl_pointer(int fd, unsigned long request, void *argument);
long kvm_ioctl_value(int fd, unsigned long request, unsigned long argument);

/* KVM_IRQ_LINE: sets the level of a GSI of the in-kernel I/O APIC. Returns 0 or -errno. */
int kvm_irq_line(int vm_fd, uint32_t gsi, uint32_t level);
/* Leads GSI n to the I/O APIC's pin n and nowhere else: KVM's default has the lower 16 at two 8259s too, which the
 * guest is told don't exist and so never masks. Returns 0 or -errno. */
int kvm_route_gsis_to_io_apic(int vm_fd);

/* Makes the eventfd raise and lower a GSI whenever it is signalled, until the VM is closed. Returns 0 or -errno. */
int kvm_add_irqfd(int vm_fd, int eventfd, uint32_t gsi);
/* Makes a write of value, length bytes wide, to gpa signal the eventfd instead of ending KVM_RUN. 0 or -errno. */
int kvm_add_ioeventfd(int vm_fd, int eventfd, uint64_t gpa, uint32_t length, uint64_t value);

/* Maps size bytes of guest memory shared, without reserving swap. Returns NULL with errno set on failure. */
void *guest_memory_map(int fd, size_t size);
int guest_memory_exclude_from_core(void *address, size_t size);
int guest_memory_unmap(void *address, size_t size);
/* pread()s until length bytes are there. Returns the bytes read (less at end of file) or -errno. */
long guest_memory_load(int fd, uint64_t offset, void *destination, size_t length);

void *memset(void *destination, int value, size_t length);

/* Blocks SIGTERM, SIGINT and SIGHUP in this thread (and those it makes), installs the kick's handler, and
 * returns a signalfd for the three, or -errno. */
int process_signals_open(void);
