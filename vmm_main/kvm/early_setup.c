/*
 * What a start asks of KVM whatever the VM, on a thread that needs no GIL, while Python imports: half a millisecond
 * in the kernel (docs/decisions/0004).
 *
 * The thread decides nothing and reports nothing. What is refused here is left out, asked for again in its place, and
 * refused there, with the text that belongs to it.
 *
 * The interrupt controllers aren't made here, though they are alike for all: once they are there, the kernel takes
 * milliseconds to add memory.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "early_setup_cdef.h"

#define CPUID_ENTRIES 256

static pthread_t thread;
static bool begun, running;
static struct kvm_early_setup result = {.kvm_fd = -1, .vm_fd = -1};

static union {
    struct kvm_cpuid2 head;
    uint8_t room[sizeof(struct kvm_cpuid2) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2)];
} cpuid;

static void *set_up(void *unused)
{
    (void)unused;
    result.kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (result.kvm_fd < 0 || ioctl(result.kvm_fd, KVM_GET_API_VERSION, 0UL) != KVM_API_VERSION)
        return NULL;
    cpuid.head.nent = CPUID_ENTRIES;
    if (ioctl(result.kvm_fd, KVM_GET_SUPPORTED_CPUID, &cpuid.head) == 0)
        result.cpuid = &cpuid.head;
    result.vm_fd = ioctl(result.kvm_fd, KVM_CREATE_VM, 0UL);
    return NULL;
}

void kvm_early_setup_begin(void)
{
    sigset_t all, before;

    if (begun)
        return;
    /* /dev/kvm must not take the number of a standard descriptor that the caller has left closed. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            return;
    begun = true;
    /* The process's signals are for threads that know what to do with them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    running = pthread_create(&thread, NULL, set_up, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct kvm_early_setup kvm_early_setup_take(void)
{
    struct kvm_early_setup taken = {.kvm_fd = -1, .vm_fd = -1};

    if (running && pthread_join(thread, NULL) == 0)
        taken = result;
    running = false;
    return taken;
}
