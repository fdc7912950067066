"""All of the RAM is there, each page is itself, and next to it is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.conftest import StartBareMetal

pytestmark = pytest.mark.timeout(180)

_GIB = 1 << 30


@pytest.mark.parametrize(
    ("size", "last_page", "hole"),
    [
        ("256M", (256 << 20) - 4096, 256 << 20),
        ("3G", 3 * _GIB - 4096, 3 * _GIB),
        ("4G", 5 * _GIB - 4096, 4 * _GIB - 0x100_0000 - 0x80_0000),
        ("5G", 6 * _GIB - 4096, 6 * _GIB),
        ("512G", 513 * _GIB - 4096, 513 * _GIB),
    ],
)
def test_first_and_last_pages_of_ram(start: StartBareMetal, size: str, last_page: int, hole: int) -> None:
    report = start("touch", "-m", size, append=f"hole={hole:#x}").expect_power_off()
    pages = report.numbers("page")
    assert pages[-1] == last_page
    assert report.numbers("kept") == [1] * len(pages)
    assert (3 * _GIB - 4096 in pages) == (size != "256M"), "the last page below the 32-bit hole"
    assert (4 * _GIB in pages) == (size not in ("256M", "3G")), "the first page above it"
    assert report.number("hole") == 0xFFFF_FFFF


def test_untouched_memory_costs_nothing(start: StartBareMetal) -> None:
    vm = start("halt", "-m", "512G")
    vm.report.wait_for_seal()
    status = Path(f"/proc/{vm.process.pid}/status").read_text()
    (shared_kib,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssShmem:")]
    assert 0 < shared_kib < 4096
