"""One KVM VM: memory slots, the in-kernel interrupt controllers, and the vCPUs made from it.

A guest's reboot closes it and makes another over the same guest memory (docs/decisions/).
"""

from __future__ import annotations

import posix as os

from vmm_main.kvm._kvm import ffi, lib
from vmm_main.kvm.system import check
from vmm_main.machine.address_map import KVM_IDENTITY_MAP_GPA, KVM_TSS_GPA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_memory import GuestMemory
    from vmm_main.kvm.system import KvmSystem


class KvmVm:
    """The VM descriptor, with RAM and interrupt controllers in place."""

    __slots__ = ("_held_clock_ns", "fd")

    def __init__(self, system: KvmSystem, memory: GuestMemory) -> None:
        """Creates the VM.

        Raises:
            HostError: KVM refuses a step; the text names it.
        """
        self.fd = system.create_vm()
        self._held_clock_ns: int | None = None
        # Intel hosts without "unrestricted guest" need four pages of the guest's address space.
        identity_map = ffi.new("uint64_t *", KVM_IDENTITY_MAP_GPA)
        check(lib.kvm_ioctl_pointer(self.fd, lib.KVM_SET_IDENTITY_MAP_ADDR, identity_map), "SET_IDENTITY_MAP")
        check(lib.kvm_ioctl_value(self.fd, lib.KVM_SET_TSS_ADDR, KVM_TSS_GPA), "SET_TSS_ADDR")
        # Memory before interrupt controllers: the other way round the kernel takes milliseconds (those are on
        # its io bus by then, and the SRCU grace period that began with it isn't hurried).
        for slot, region in enumerate(memory.regions):
            entry = ffi.new("struct kvm_userspace_memory_region *")
            entry.slot = slot
            entry.guest_phys_addr = region.gpa
            entry.memory_size = region.size
            entry.userspace_addr = memory.host_address(region)
            check(
                lib.kvm_ioctl_pointer(self.fd, lib.KVM_SET_USER_MEMORY_REGION, entry),
                f"can't give the guest {region.size >> 20} MiB of RAM at {region.gpa:#x}",
            )
        check(lib.kvm_ioctl_value(self.fd, lib.KVM_CREATE_IRQCHIP, 0), "CREATE_IRQCHIP")
        check(lib.kvm_route_gsis_to_io_apic(self.fd), "SET_GSI_ROUTING")

    def pulse_gsi(self, gsi: int) -> None:
        """Raises and lowers an edge-triggered GSI. Any thread.

        Raises:
            HostError: KVM refuses.
        """
        check(lib.kvm_irq_line(self.fd, gsi, 1), f"can't raise GSI {gsi}")
        check(lib.kvm_irq_line(self.fd, gsi, 0), f"can't lower GSI {gsi}")

    def add_irqfd(self, eventfd: int, gsi: int) -> None:
        """Raises and lowers an edge-triggered GSI whenever eventfd is signalled, until close().

        Raises:
            HostError: KVM refuses.
        """
        check(lib.kvm_add_irqfd(self.fd, eventfd, gsi), f"can't lead an eventfd to GSI {gsi}")

    def add_ioeventfd(self, eventfd: int, gpa: int, length: int, value: int) -> None:
        """Signals eventfd whenever the guest writes value, length bytes wide, to gpa; no exit any more.

        Raises:
            HostError: KVM refuses.
        """
        result = lib.kvm_add_ioeventfd(self.fd, eventfd, gpa, length, value)
        check(result, f"can't lead writes to {gpa:#x} to an eventfd")

    def hold_clock(self) -> None:
        """Takes note of kvmclock's time, which release_clock() goes on from. All vCPUs must be parked.

        Raises:
            HostError: KVM refuses.
        """
        clock = ffi.new("struct kvm_clock_data *")
        check(lib.kvm_ioctl_pointer(self.fd, lib.KVM_GET_CLOCK, clock), "GET_CLOCK")
        self._held_clock_ns = clock.clock

    def release_clock(self) -> bool:
        """Sets kvmclock back to where it was held. False if it wasn't.

        Raises:
            HostError: KVM refuses.
        """
        if self._held_clock_ns is None:
            return False
        clock = ffi.new("struct kvm_clock_data *")
        clock.clock = self._held_clock_ns
        check(lib.kvm_ioctl_pointer(self.fd, lib.KVM_SET_CLOCK, clock), "SET_CLOCK")
        self._held_clock_ns = None
        return True

    def close(self) -> None:
        """Closes the descriptor; the kernel frees the VM once all of its vCPUs are closed too."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
