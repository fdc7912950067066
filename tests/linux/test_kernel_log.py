"""The guest's kernel has nothing to complain about that it wouldn't complain about under QEMU's microvm."""

from __future__ import annotations

import re

from tests.linux.conftest import StartGuest
from tests.linux.linux_guest import LinuxGuest

QEMU_MICROVM = (
    *("qemu-system-x86_64", "-M", "microvm,accel=kvm,acpi=on,pic=off,pit=off"),
    *("-cpu", "host", "-nodefaults", "-no-user-config", "-display", "none"),
)
KERNEL_WARNING = 4  # of include/linux/kern_levels.h; less is worse
SUBJECTS = re.compile(
    r"ACPI|APIC|MADT|FADT|DSDT|timer|tsc|TSC|clock|hpet|PIT|rtc|calibrat|serial|8250|ttyS", re.I
)


def _complaints(guest: LinuxGuest) -> set[str]:
    """The warnings and errors about ACPI, timers and the legacy devices, without what differs by chance."""
    guest.wait_for_shell()
    # What isn't a complaint stays in the guest: QEMU's serial port takes minutes for a whole log in the box.
    assert int(guest.run("dmesg -r | wc -l")) > 100, "this isn't a kernel's log"
    worst = guest.run(f"dmesg -r | grep -E '^<[0-{KERNEL_WARNING}]>' || true").splitlines()
    guest.power_off()
    said = [re.sub(r"^<\d+>\[[ .\d]+\] ", "", line) for line in worst]
    return {re.sub(r"0x[0-9a-f]+|\d+", "N", line) for line in said if SUBJECTS.search(line)}


def test_no_more_warnings_than_under_qemu(start_guest: StartGuest) -> None:
    ours = _complaints(start_guest(append="loglevel=1"))
    qemus = _complaints(start_guest(append="loglevel=1", vmm=QEMU_MICROVM))
    assert ours <= qemus
