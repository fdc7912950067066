"""Every offset at every width, read and written: what virtio 1.2 §4.2.2's table has, and nothing else."""

from __future__ import annotations

import pytest

from tests.unit.virtio_mmio.driver_rig import CONFIG, DRIVER_OK, FEATURES_OK, DriverRig, NotingDevice

WIDTHS = (1, 2, 4, 8)
ALL_ONES = 0xFFFF_FFFF
CONFIG_OFFSET = 0x100
END = 0x200

# What a fresh device's registers read as, 32 bits wide; all others read as 0.
FRESH = {
    0x000: 0x74726976,
    0x004: 2,
    0x008: 4,
    0x00C: int.from_bytes(b"BULK", "little"),
    0x010: 1 << 0 | 1 << 5 | 1 << 28 | 1 << 29,
    0x034: 256,
    0x0B0: ALL_ONES,
    0x0B4: ALL_ONES,
    0x0B8: ALL_ONES,
    0x0BC: ALL_ONES,
}

# What a write may change by what it is for.
WRITABLE = {
    0x14,
    0x20,
    0x24,
    0x30,
    0x38,
    0x44,
    0x50,
    0x64,
    0x70,
    0x80,
    0x84,
    0x90,
    0x94,
    0xA0,
    0xA4,
    0xAC,
    0xC0,
}


def _registers(rig: DriverRig) -> dict[int, int]:
    return {offset: rig.read(offset) for offset in range(0, CONFIG_OFFSET, 4)}


def _config(rig: DriverRig) -> bytes:
    return bytes(rig.read(offset, 1) for offset in range(CONFIG_OFFSET, END))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_fresh_device_read_everywhere(rig: DriverRig, width: int) -> None:
    found = {offset: rig.read(offset, width) for offset in range(CONFIG_OFFSET)}
    assert {offset: value for offset, value in found.items() if value} == (FRESH if width == 4 else {})


@pytest.mark.parametrize("width", WIDTHS)
def test_the_configuration_space_read_everywhere(rig: DriverRig, width: int) -> None:
    padded = CONFIG.ljust(END, b"\0")
    for offset in range(END - CONFIG_OFFSET):
        expected = int.from_bytes(padded[offset : offset + width], "little")
        assert rig.read(CONFIG_OFFSET + offset, width) == expected, offset


def test_what_cannot_be_written_is_as_before(rig: DriverRig) -> None:
    rig.negotiate()
    rig.set_up_queue(1)
    registers, config = _registers(rig), _config(rig)
    for width in WIDTHS:
        for offset in range(CONFIG_OFFSET):
            if width != 4 or offset not in WRITABLE:
                rig.write(offset, (1 << 8 * width) - 1, width)
                rig.write(offset, 0, width)
    assert _registers(rig) == registers
    assert _config(rig) == config
    assert rig.device.calls == []
    rig.write(0x70, DRIVER_OK)
    (vring,) = rig.device.vrings
    assert (vring.index, vring.num) == (1, 16)
    assert (vring.desc_gpa, vring.avail_gpa, vring.used_gpa) == (0x1000, 0x2000, 0x3000)


def test_registers_are_written_only_as_a_whole(rig: DriverRig) -> None:
    rig.negotiate()
    for register in WRITABLE:
        for piece in range(1, 4):
            rig.write(register + piece, 0x01, 1)
        rig.write(register, 0x0101, 2)
        rig.write(register, 0x01, 1)
        rig.write(register, 0x0101_0101_0101_0101, 8)
    assert rig.status == FEATURES_OK
    assert rig.read(0x34) == 256, "queue 0 is still the selected one"
    rig.set_up_queue(0)
    rig.write(0x70, DRIVER_OK)
    assert [vring.index for vring in rig.device.vrings] == [0]


def test_write_only_registers_read_as_zero_after_a_write(rig: DriverRig) -> None:
    rig.negotiate()
    rig.set_up_queue(0)
    for register in (0x14, 0x24, 0x30, 0x50, 0x64, 0xAC, 0xC0):
        rig.write(register, 1)
        assert rig.read(register) == 0
    for register in (0x38, 0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4):
        assert rig.read(register) == 0


@pytest.mark.parametrize("region", [0, 1, 255, ALL_ONES])
def test_there_is_no_shared_memory_whatever_is_selected(rig: DriverRig, region: int) -> None:
    rig.write(0xAC, region)
    assert [rig.read(register) for register in (0xB0, 0xB4, 0xB8, 0xBC)] == [ALL_ONES] * 4


def test_there_is_nothing_behind_the_registers(rig: DriverRig) -> None:
    for offset in (END, END + 4, 0xFFC):
        rig.write(offset, 1)
        assert rig.read(offset) == ALL_ONES


def test_a_configuration_space_ends_where_the_registers_end() -> None:
    device = NotingDevice()
    device.config_space = bytes(range(256)) + b"more"
    rig = DriverRig(device)
    assert _config(rig) == bytes(range(256))
    assert rig.read(0x1FE, 4) == 0xFFFE
    rig.device.told().config_changed(b"\x01" * 300)
    assert _config(rig) == b"\x01" * 256
    assert rig.read(0x1FE, 4) == 0x0101
    rig.close()


def test_a_notification_of_a_queue_that_has_no_eventfd_does_nothing(rig: DriverRig) -> None:
    rig.go_live()
    registers = _registers(rig)
    for value in (0, 2, 0x10000, ALL_ONES):
        rig.write(0x50, value)
    assert rig.device.calls == ["activate"]
    assert _registers(rig) == registers
