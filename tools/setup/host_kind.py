"""Whether this machine's /dev/kvm can run Linux (docs/testing.md)."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HostKind:
    """What a machine's KVM is good for.

    Attributes:
        runs_linux: A stock kernel runs in a guest here.
        sentence: The same for a person, without a full stop.
    """

    runs_linux: bool
    sentence: str


def host_kind(kvm: Path = Path("/dev/kvm"), cpuinfo: Path = Path("/proc/cpuinfo")) -> HostKind:
    """Looks at /dev/kvm and at the CPU's flags."""
    if not kvm.exists():
        return HostKind(False, f"this machine has no {kvm}")
    try:
        os.close(os.open(kvm, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return HostKind(False, f"{getpass.getuser()} can't open {kvm} ({error.strerror})")
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "").split()
    if "vmx" not in flags and "svm" not in flags:
        return HostKind(
            False,
            f"this machine's {kvm} can't run Linux: its CPU shows neither vmx nor svm, so KVM emulates every "
            "instruction (the KVM_PVM kind of host)",
        )
    return HostKind(True, f"this machine's {kvm} runs Linux")
