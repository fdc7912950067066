"""The configuration space: seen in one version, and written only where it is for the driver to write."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.unit.virtio_mmio.driver_rig import (
    CONFIG,
    DRIVER,
    DRIVER_OK,
    FAILED,
    NEEDS_RESET,
    WRITABLE,
    DriverRig,
)

GENERATION = 0xFC
WIDTHS = (1, 2, 4, 8)


def _config(rig: DriverRig, length: int = len(CONFIG)) -> bytes:
    return bytes(rig.read(0x100 + offset, 1) for offset in range(length))


def _changed(offset: int, data: bytes) -> bytes:
    return CONFIG[:offset] + data + CONFIG[offset + len(data) :]


def test_the_generation_moves_with_every_change_and_with_nothing_else(rig: DriverRig) -> None:
    seen = {rig.read(GENERATION)}
    for step in range(3):
        rig.device.told().config_changed(bytes([step]) * len(CONFIG))
        assert _config(rig) == bytes([step]) * len(CONFIG)
        seen.add(rig.read(GENERATION))
    assert len(seen) == 4
    last = rig.read(GENERATION)
    rig.device.config_space = bytes([2]) * len(CONFIG)
    rig.go_live()
    rig.write(0x104, 1)
    rig.device.told().needs_reset()
    assert rig.read(GENERATION) == last


def test_a_shorter_and_a_longer_space(rig: DriverRig) -> None:
    rig.device.told().config_changed(b"ab")
    assert _config(rig, 4) == b"ab\0\0"
    assert rig.read(0x100) == int.from_bytes(b"ab", "little")
    rig.device.told().config_changed(b"abcdef")
    assert _config(rig, 8) == b"abcdef\0\0"


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Lets threads take turns within a few lines of Python."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_who_reads_one_generation_twice_has_read_one_version(rig: DriverRig) -> None:
    """As Linux reads: again, until the generation is the same before and after."""
    stop = threading.Event()

    def change() -> None:
        for version in itertools.cycle(range(256)):
            rig.device.told().config_changed(bytes([version]) * 16)
            if stop.is_set():
                return

    rig.device.told().config_changed(bytes(16))
    changer = threading.Thread(target=change)
    changer.start()
    try:
        whole = torn = 0
        expires = time.monotonic() + 60
        while whole < 25 or torn < 25:
            assert time.monotonic() < expires, f"{whole} whole, {torn} torn"
            before = rig.read(GENERATION)
            seen = {rig.read(0x100), rig.read(0x10C)}
            if rig.read(GENERATION) == before:
                assert len(seen) == 1
                whole += 1
            else:
                torn += len(seen) > 1
    finally:
        stop.set()
        changer.join()


def test_every_write_everywhere_changes_only_the_fields_for_it(rig: DriverRig) -> None:
    rig.go_live()
    for width in WIDTHS:
        for offset in range(0x100):
            rig.device.calls.clear()
            rig.device.told().config_changed(CONFIG)
            data = bytes(range(0xA0, 0xA0 + width))
            rig.write(0x100 + offset, int.from_bytes(data, "little"), width)
            if (offset, width) in WRITABLE:
                assert rig.device.calls == [f"write {offset} {data.hex()}"]
                assert _config(rig) == _changed(offset, data)
            else:
                assert rig.device.calls == []
                assert _config(rig) == CONFIG


def test_a_field_beyond_the_space_is_not_written(rig: DriverRig) -> None:
    rig.go_live()
    rig.device.told().config_changed(CONFIG[:7])
    rig.write(0x104, 0)
    rig.write(0x108, 0, 1)
    assert rig.device.calls == ["activate"]
    assert _config(rig, 12) == CONFIG[:7] + bytes(5)


@pytest.mark.parametrize("status", [0, 1, DRIVER, DRIVER | FAILED])
def test_nothing_is_written_before_features_ok(rig: DriverRig, status: int) -> None:
    for step in (1, DRIVER, DRIVER | FAILED):
        if step <= status:
            rig.write(0x70, step)
    rig.write(0x104, 0)
    assert rig.status == status
    assert rig.device.calls == []
    assert _config(rig) == CONFIG


def test_a_field_is_written_between_features_ok_and_driver_ok_too(rig: DriverRig) -> None:
    rig.negotiate()
    rig.write(0x104, 0x11223344)
    assert rig.device.calls == ["write 4 44332211"]


@pytest.mark.parametrize("error", [NEEDS_RESET, FAILED])
def test_nothing_is_written_once_something_is_wrong(rig: DriverRig, error: int) -> None:
    rig.go_live()
    if error == FAILED:
        rig.write(0x70, DRIVER_OK | FAILED)
    else:
        rig.device.told().needs_reset()
    rig.write(0x104, 0)
    assert rig.device.calls == ["activate"]
    assert _config(rig) == CONFIG


def test_a_reset_shows_what_the_device_last_said(rig: DriverRig) -> None:
    rig.go_live()
    rig.write(0x104, 0)
    generation = rig.read(GENERATION)
    rig.write(0x70, 0)
    assert _config(rig) == CONFIG
    assert rig.read(GENERATION) != generation
    generation = rig.read(GENERATION)
    rig.go_live()
    rig.write(0x70, 0)
    assert rig.read(GENERATION) == generation
