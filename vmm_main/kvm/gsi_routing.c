/* Where GSIs lead. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vcpu_loop_cdef.h"

int kvm_route_gsis_to_io_apic(int vm_fd)
{
    struct {
        struct kvm_irq_routing table;
        struct kvm_irq_routing_entry entries[KVM_IOAPIC_NUM_PINS];
    } routing;

    memset(&routing, 0, sizeof(routing));
    routing.table.nr = KVM_IOAPIC_NUM_PINS;
    for (uint32_t pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
        routing.entries[pin].gsi = pin;
        routing.entries[pin].type = KVM_IRQ_ROUTING_IRQCHIP;
        routing.entries[pin].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
        routing.entries[pin].u.irqchip.pin = pin;
    }
    return ioctl(vm_fd, KVM_SET_GSI_ROUTING, &routing.table) < 0 ? -errno : 0;
}
