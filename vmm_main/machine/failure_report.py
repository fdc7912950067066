"""What a person is told when a vCPU can't go on: what happened, where, and what to do about it."""

from __future__ import annotations

import os
import traceback

from vmm_main.kvm._kvm import lib
from vmm_main.kvm.vcpu import registers_at_failure
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.kvm.vcpu import VcpuFailure
    from vmm_main.machine.microvm import MicroVm

_log = Logger("machine")
_INSTRUCTION_BYTES = 15  # the longest that x86 has

_SUBERRORS = {1: "an instruction that it can't emulate", 2: "an exception while another was being delivered",
              3: "an unexpected exit while an event was being delivered",
              4: "an exit reason that it doesn't know"}  # fmt: skip


def describe_failure(failure: VcpuFailure, board: MicroVm) -> str:
    """One sentence about a parked vCPU's failure; a Python error's stack goes to the log."""
    if failure.python_error is not None:
        _log.error("".join(traceback.format_exception(failure.python_error)))
        return (
            f"CPU {failure.cpu}: an error inside Bulkhead, "
            f"{type(failure.python_error).__name__}: {failure.python_error} (its stack is in the log)"
        )
    place, is_astray = _where(failure.cpu, board)
    return f"CPU {failure.cpu}: {_what(failure)} at {place}; {_advice(failure, is_astray=is_astray)}"


def host_kvm_emulates() -> bool:
    """Whether this host's KVM works without the CPU's help (KVM_PVM): it can't run a stock kernel then."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("flags"):
                flags = line.split()
                return "vmx" not in flags and "svm" not in flags
    return True


def _what(failure: VcpuFailure) -> str:
    if failure.reason == lib.VCPU_EXIT_INTERNAL_ERROR:
        cause = _SUBERRORS.get(failure.detail, "a reason of its own")
        return f"KVM gave up on the guest (internal error, suberror {failure.detail}: {cause})"
    if failure.reason == lib.VCPU_EXIT_FAIL_ENTRY:
        return f"KVM couldn't enter the guest (hardware reason {failure.detail:#x})"
    if failure.reason < 0:
        return f"KVM_RUN failed ({os.strerror(-failure.reason)})"
    return f"KVM stopped the guest (exit reason {failure.reason}, detail {failure.detail:#x})"


def _where(cpu: int, board: MicroVm) -> tuple[str, bool]:
    """Where the CPU stands, in words, and whether that is where the guest has no memory to run."""
    rip, gpa = registers_at_failure(board.vcpus[cpu].fd)
    if gpa is None:
        return f"RIP {rip:#x} (not mapped)", True
    for length in (_INSTRUCTION_BYTES, 1):  # an instruction may be the last thing in RAM
        try:
            return f"RIP {rip:#x} (bytes {board.memory.read(gpa, length).hex(' ')})", False
        except ValueError:
            continue
    return f"RIP {rip:#x} (not in RAM)", True


def _advice(failure: VcpuFailure, *, is_astray: bool) -> str:
    if failure.reason == lib.VCPU_EXIT_INTERNAL_ERROR:
        if is_astray:  # no host could go on: it isn't to blame, whatever its kind
            return "the guest has jumped to where it has no memory: is it made for this machine?"
        if host_kvm_emulates():
            return (
                "this host's KVM works without the CPU's virtualization (KVM_PVM: no vmx or svm in "
                "/proc/cpuinfo) and can't run a stock kernel: use another host, or tools/kvm_lab, which "
                "brings a KVM of its own"
            )
    return "the guest may be broken, or this host's KVM too old for it; the host kernel's log may say more"
