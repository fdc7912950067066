"""Every form of kernel is entered, and finds its command line, its initrd and its memory."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.guest.conftest import StartBareMetal

pytestmark = pytest.mark.timeout(180)

_MIB = 1 << 20
_GIB = 1 << 30
_RAM, _RESERVED = 1, 2
_PROTOCOLS = {"pvh": "pvh", "elf": "zero-page", "flat": "zero-page"}


def _expected_map(mib: int) -> list[tuple[int, int, int]]:
    size = mib * _MIB
    low = min(size, 3 * _GIB)
    ranges = [(0, 0x9FC00, _RAM), (0x9FC00, 0x60400, _RESERVED), (_MIB, low - _MIB, _RAM)]
    return ranges + ([(4 * _GIB, size - low, _RAM)] if size > low else [])


@pytest.mark.parametrize("mib", [256, 3072, 3073, 4096, 5120, 512 << 10])
@pytest.mark.parametrize("form", _PROTOCOLS)
def test_memory_map(start: StartBareMetal, form: str, mib: int) -> None:
    report = start("boot", "-m", f"{mib}M", form=form).expect_power_off()
    assert report.text("protocol") == _PROTOCOLS[form]
    assert report.memory_map() == _expected_map(mib)


@pytest.mark.parametrize("form", _PROTOCOLS)
@pytest.mark.parametrize("size", [1, 4096, 10_000])
def test_initrd_and_command_line_arrive_whole(
    start: StartBareMetal, tmp_path: Path, form: str, size: int
) -> None:
    content = random.randbytes(size)
    initrd = tmp_path / "initrd"
    initrd.write_bytes(content)
    vm = start("boot", "-initrd", str(initrd), form=form, append="and=more with  spaces='inside' ü")
    report = vm.expect_power_off()
    assert report.text("command-line") == vm.append
    assert report.number("initrd-size") == size
    expected = vm.nonce
    for byte in content:
        expected = (expected * 31 + byte) % (1 << 64)
    assert report.number("initrd-sum") == expected
    place = report.number("initrd-start")
    assert place % 4096 == 0
    assert place + size <= 256 * _MIB


def test_without_initrd_none_is_announced(start: StartBareMetal) -> None:
    for form in _PROTOCOLS:
        report = start("boot", form=form).expect_power_off()
        assert report.number("initrd-size") == report.number("initrd-start") == 0
