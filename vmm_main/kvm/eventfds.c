/* Eventfds that KVM signals for the guest, and those by which others interrupt it, all without a vCPU's exit. */
#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "vcpu_loop_cdef.h"

int kvm_add_irqfd(int vm_fd, int eventfd, uint32_t gsi)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)eventfd, .gsi = gsi};

    return ioctl(vm_fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

int kvm_add_ioeventfd(int vm_fd, int eventfd, uint64_t gpa, uint32_t length, uint64_t value)
{
    struct kvm_ioeventfd ioeventfd = {
        .datamatch = value,
        .addr = gpa,
        .len = length,
        .fd = eventfd,
        .flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
    };

    return ioctl(vm_fd, KVM_IOEVENTFD, &ioeventfd) < 0 ? -errno : 0;
}
