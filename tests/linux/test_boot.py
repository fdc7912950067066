"""The Debian kernel boots in every form, with few and many CPUs, with little memory and with much."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.linux.conftest import StartGuest
from tools.guest_image.image import GuestImage

GUEST_PAGE_BYTES = 4096
FIRST_PAGE_ABOVE_4_GIB = 4 * 1024**3 // GUEST_PAGE_BYTES


@pytest.mark.parametrize(
    ("form", "cpus", "memory_mib"),
    [("bzimage", 1, 256), ("bzimage", 4, 512), ("vmlinux", 2, 512), ("flat", 1, 512)],
)
def test_kernel_boots(
    start_guest: StartGuest, image: GuestImage, form: str, cpus: int, memory_mib: int
) -> None:
    kernel: Path = getattr(image, form)
    guest = start_guest(kernel=kernel, cpus=cpus, memory_mib=memory_mib)
    guest.wait_for_shell()
    assert guest.run("nproc") == str(cpus)
    total = int(guest.run("grep MemTotal /proc/meminfo").split()[1]) // 1024
    assert memory_mib * 3 // 4 < total <= memory_mib
    assert guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource") == "kvm-clock"
    # Every CPU gets timer interrupts of its own: APIC ids and the deadline timer are right.
    timers = guest.run("grep LOC: /proc/interrupts").split()[1 : cpus + 1]
    assert len(timers) == cpus
    assert all(int(count) > 0 for count in timers)
    guest.power_off()


def _normal_zone(zoneinfo: str) -> dict[str, int]:
    """Numbers of the zone that holds the memory above 4 GiB, in pages."""
    zone = zoneinfo.split("zone   Normal")[1].split("Node ", maxsplit=1)[0]
    return {
        name: int(re.findall(rf"\b{name}:? +(\d+)", zone)[0]) for name in ("free", "managed", "start_pfn")
    }


def test_memory_above_4_gib_is_used(start_guest: StartGuest, image: GuestImage) -> None:
    guest = start_guest(kernel=image.vmlinux, cpus=4, memory_mib=5 * 1024)
    guest.wait_for_shell()
    assert guest.run("nproc") == "4"
    before = _normal_zone(guest.run("cat /proc/zoneinfo"))
    assert before["start_pfn"] == FIRST_PAGE_ABOVE_4_GIB
    assert before["managed"] * GUEST_PAGE_BYTES > 1.5 * 1024**3  # 5 GiB less the 3 GiB below the hole
    written = 64 * 1024**2
    seen = guest.run(f"head -c {written} /dev/zero | tr '\\0' x >/tmp/file; md5sum </tmp/file")
    assert seen.split()[0] == hashlib.md5(b"x" * written, usedforsecurity=False).hexdigest()
    after = _normal_zone(guest.run("cat /proc/zoneinfo"))
    used = (before["free"] - after["free"]) * GUEST_PAGE_BYTES
    assert used > written // 2, "the file isn't above 4 GiB"
    guest.power_off()
