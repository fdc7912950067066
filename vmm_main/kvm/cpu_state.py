"""What KVM is told about a vCPU before it first runs: CPUID, MSRs, and the boot CPU's registers."""

from __future__ import annotations

from vmm_main.kvm._kvm import ffi, lib
from vmm_main.kvm.system import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.cpu_entry import CpuEntry, Segment
    from vmm_main.kvm.cpuid import GuestCpuid

# MSRs that firmware would have set (Intel SDM volume 4); everything else is 0, as KVM makes it.
_MSR_IA32_MISC_ENABLE = 0x1A0
_MSR_IA32_MTRR_DEF_TYPE = 0x2FF
_FAST_STRINGS = 1 << 0
_MTRR_ENABLED_WRITE_BACK = 1 << 11 | 6


def set_cpuid(vcpu_fd: int, cpuid: GuestCpuid, cpu: int) -> None:
    """Gives vCPU number cpu its CPUID leaves.

    Raises:
        HostError: KVM refuses them.
    """
    check(lib.kvm_ioctl_pointer(vcpu_fd, lib.KVM_SET_CPUID2, cpuid.for_cpu(cpu)), "SET_CPUID2")


def set_firmware_msrs(vcpu_fd: int) -> None:
    """Sets the MSRs that Linux expects firmware to have set.

    Raises:
        HostError: KVM refuses one.
    """
    values = ((_MSR_IA32_MISC_ENABLE, _FAST_STRINGS), (_MSR_IA32_MTRR_DEF_TYPE, _MTRR_ENABLED_WRITE_BACK))
    msrs = ffi.new("struct kvm_msrs *", {"entries": len(values)})
    msrs.nmsrs = len(values)
    for index, (number, value) in enumerate(values):
        msrs.entries[index].index = number
        msrs.entries[index].data = value
    # Returns how many were set: KVM stops at the first one it doesn't have.
    check(lib.kvm_ioctl_pointer(vcpu_fd, lib.KVM_SET_MSRS, msrs), "SET_MSRS")


def set_entry_registers(vcpu_fd: int, entry: CpuEntry) -> None:
    """Puts the boot CPU at its entry. The others wait for INIT and SIPI, as KVM makes them.

    Raises:
        HostError: KVM refuses the state.
    """
    sregs = ffi.new("struct kvm_sregs *")
    check(lib.kvm_ioctl_pointer(vcpu_fd, lib.KVM_GET_SREGS, sregs), "GET_SREGS")
    _set_segment(sregs.cs, entry.code)
    for register in (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss):
        _set_segment(register, entry.data)
    _set_segment(sregs.tr, entry.task)
    sregs.gdt.base = entry.gdt_base
    sregs.gdt.limit = entry.gdt_limit
    sregs.idt.base = 0
    sregs.idt.limit = 0
    sregs.cr0 = entry.cr0
    sregs.cr3 = entry.cr3
    sregs.cr4 = entry.cr4
    sregs.efer = entry.efer
    check(lib.kvm_ioctl_pointer(vcpu_fd, lib.KVM_SET_SREGS, sregs), "SET_SREGS")
    regs = ffi.new("struct kvm_regs *")
    regs.rip = entry.rip
    regs.rsp = entry.rsp
    regs.rbx = entry.rbx
    regs.rsi = entry.rsi
    regs.rflags = entry.rflags
    check(lib.kvm_ioctl_pointer(vcpu_fd, lib.KVM_SET_REGS, regs), "SET_REGS")


def _set_segment(register: ffi.CData, segment: Segment) -> None:
    register.base = 0
    register.limit = segment.limit
    register.selector = segment.selector
    register.type = segment.type
    register.present = 1
    register.dpl = 0
    register.db = segment.db
    register.s = segment.s
    register.l = segment.l
    register.g = segment.g
    register.unusable = 0
