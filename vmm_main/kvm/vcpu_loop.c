/*
 * The vCPU run loop: stays in C for kicks and for the only hot exits there are, the UART's data and line-status
 * registers and virtio-mmio's two interrupt registers (DESIGN section 4); everything else returns to Python.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process_signals.h"
#include "vcpu_loop_cdef.h"
#include "../legacy_devices/uart16550_cdef.h"
#include "../virtio_mmio/mmio_interrupt_cdef.h"

#define UART_PORTS 8

_Static_assert(VCPU_EXIT_IO == KVM_EXIT_IO, "exit reason");
_Static_assert(VCPU_EXIT_HLT == KVM_EXIT_HLT, "exit reason");
_Static_assert(VCPU_EXIT_MMIO == KVM_EXIT_MMIO, "exit reason");
_Static_assert(VCPU_EXIT_SHUTDOWN == KVM_EXIT_SHUTDOWN, "exit reason");
_Static_assert(VCPU_EXIT_FAIL_ENTRY == KVM_EXIT_FAIL_ENTRY, "exit reason");
_Static_assert(VCPU_EXIT_INTERNAL_ERROR == KVM_EXIT_INTERNAL_ERROR, "exit reason");
_Static_assert(VCPU_EXIT_SYSTEM_EVENT == KVM_EXIT_SYSTEM_EVENT, "exit reason");
_Static_assert(VCPU_KICKED == -EINTR, "kick");
_Static_assert(sizeof(pthread_t) == sizeof(uint64_t), "struct vcpu holds a pthread_t as a number");

/* The run area of the vCPU that this thread runs: what the kick's signal handler writes to. */
static __thread struct kvm_run *volatile current_run;

static int kick_signal(void)
{
    return SIGRTMIN;
}

static void on_kick(int signal)
{
    (void)signal;
    /* A kick that comes between two KVM_RUNs must end the next one: the flag stays until vcpu_run() takes it. */
    if (current_run != NULL)
        current_run->immediate_exit = 1;
}

int install_kick_handler(void)
{
    struct sigaction action = {.sa_handler = on_kick}; /* no SA_RESTART: KVM_RUN must return */

    return sigaction(kick_signal(), &action, NULL) < 0 ? -errno : 0;
}

int vcpu_init(struct vcpu *vcpu, int vm_fd, uint32_t id, size_t run_size)
{
    memset(vcpu, 0, sizeof(*vcpu));
    vcpu->id = id;
    vcpu->fd = ioctl(vm_fd, KVM_CREATE_VCPU, (unsigned long)id);
    if (vcpu->fd < 0)
        return -errno;
    vcpu->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (vcpu->run == MAP_FAILED) {
        int error = errno;
        close(vcpu->fd);
        vcpu->fd = -1;
        vcpu->run = NULL;
        return -error;
    }
    vcpu->run_size = run_size;
    return 0;
}

void vcpu_deinit(struct vcpu *vcpu)
{
    if (vcpu->run != NULL)
        munmap(vcpu->run, vcpu->run_size);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
    vcpu->run = NULL;
    vcpu->fd = -1;
}

int vcpu_attach_thread(struct vcpu *vcpu)
{
    char name[16];
    sigset_t kick;

    snprintf(name, sizeof(name), "vcpu%u", vcpu->id);
    pthread_setname_np(pthread_self(), name);
    current_run = vcpu->run;
    sigemptyset(&kick);
    sigaddset(&kick, kick_signal());
    pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
    vcpu->thread = (uint64_t)pthread_self();
    __atomic_store_n(&vcpu->attached, 1, __ATOMIC_SEQ_CST);
    return (int)syscall(SYS_gettid);
}

void vcpu_detach_thread(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->attached, 0, __ATOMIC_SEQ_CST);
    current_run = NULL;
}

void vcpu_kick(struct vcpu *vcpu)
{
    if (__atomic_load_n(&vcpu->attached, __ATOMIC_SEQ_CST))
        pthread_kill((pthread_t)vcpu->thread, kick_signal());
}

/* Answers an access to the UART's hot registers. Returns 0 if Python must. */
static int uart_exit(struct vcpu *vcpu, struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    uint16_t offset = (uint16_t)(run->io.port - vcpu->uart_port);

    if (vcpu->uart == NULL || offset >= UART_PORTS || run->io.size != 1)
        return 0;
    /* Whether C answers depends on offset and DLAB alone, so the first access decides for all of a string. */
    for (uint32_t i = 0; i < run->io.count; i++) {
        int answered = run->io.direction == KVM_EXIT_IO_OUT ? uart16550_io_write(vcpu->uart, offset, data[i])
                                                            : uart16550_io_read(vcpu->uart, offset, &data[i]);
        if (!answered)
            return 0;
    }
    return 1;
}

static int mmio_exit(struct vcpu *vcpu, struct kvm_run *run)
{
    return vcpu->mmio_interrupts != NULL && mmio_interrupts_access(vcpu->mmio_interrupts, run->mmio.phys_addr,
                                                                   run->mmio.len, run->mmio.is_write, run->mmio.data);
}

/* Whether an exit was answered here. */
static int hot_exit(struct vcpu *vcpu, struct kvm_run *run)
{
    if (run->exit_reason == KVM_EXIT_MMIO)
        return mmio_exit(vcpu, run);
    return run->exit_reason == KVM_EXIT_IO && uart_exit(vcpu, run);
}

static void copy_exit(struct vcpu *vcpu, struct kvm_run *run)
{
    struct vcpu_exit *exit = &vcpu->exit;

    memset(exit, 0, sizeof(*exit));
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        exit->address = run->io.port;
        exit->size = run->io.size;
        exit->count = run->io.count;
        exit->is_write = run->io.direction == KVM_EXIT_IO_OUT;
        exit->data = (uint8_t *)run + run->io.data_offset;
        break;
    case KVM_EXIT_MMIO:
        exit->address = run->mmio.phys_addr;
        exit->size = run->mmio.len;
        exit->count = 1;
        exit->is_write = run->mmio.is_write;
        exit->data = run->mmio.data;
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        exit->address = run->internal.suberror;
        break;
    case KVM_EXIT_FAIL_ENTRY:
        exit->address = run->fail_entry.hardware_entry_failure_reason;
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        exit->address = run->system_event.type;
        break;
    default:
        break;
    }
}

int vcpu_run(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;

    for (;;) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
            if (errno == EINTR) {
                /* Only a kick asks for the caller's attention; any other signal is not for the guest. */
                if (__atomic_exchange_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST))
                    return VCPU_KICKED;
                continue;
            }
            if (errno == EAGAIN) /* an application processor that waits for its INIT */
                continue;
            return -errno;
        }
        if (run->exit_reason == KVM_EXIT_INTR)
            continue;
        if (hot_exit(vcpu, run)) {
            vcpu->c_exits++;
            continue;
        }
        copy_exit(vcpu, run);
        return (int)run->exit_reason;
    }
}

long kvm_ioctl_pointer(int fd, unsigned long request, void *argument)
{
    int result = ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
}

long kvm_ioctl_value(int fd, unsigned long request, unsigned long argument)
{
    int result = ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
}

int kvm_irq_line(int vm_fd, uint32_t gsi, uint32_t level)
{
    struct kvm_irq_level line = {.irq = gsi, .level = level};

    return ioctl(vm_fd, KVM_IRQ_LINE, &line) < 0 ? -errno : 0;
}
