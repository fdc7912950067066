"""The board's slots: where they are, how many, and that each answers for its own device."""

from __future__ import annotations

import os

import pytest

from tests.unit.virtio_mmio.driver_rig import CONFIG, NotingDevice
from vmm_main.errors import ConfigurationError
from vmm_main.kvm._kvm import ffi, lib
from vmm_main.machine.address_map import VIRTIO_MMIO_SLOTS, virtio_mmio_gpa
from vmm_main.machine.gsi_map import VIRTIO_MMIO_GSIS
from vmm_main.machine.io_bus import IoBus
from vmm_main.virtio_mmio.slots import VirtioMmioSlots


def _everything_is_ram(gpa: int, length: int) -> bool:
    return True


def test_eleven_devices_and_not_one_more() -> None:
    devices = [NotingDevice(f"d{index}", (index + 1,)) for index in range(12)]
    for index, device in enumerate(devices):
        device.virtio_id = index + 1
    slots = VirtioMmioSlots(devices[:11], bus := IoBus(), _everything_is_ram)
    assert slots.present == 0x7FF
    assert [bus.read(virtio_mmio_gpa(slot) + 8, 4) for slot in range(11)] == list(range(1, 12))
    assert [bus.read(virtio_mmio_gpa(slot) + 0x34, 4) for slot in range(11)] == list(range(1, 12))
    slots.close()
    with pytest.raises(ConfigurationError, match="12 virtio-mmio devices: this board has 11 slots"):
        VirtioMmioSlots(devices, IoBus(), _everything_is_ram)
    for device in devices:
        device.close()


def test_one_device_leaves_the_other_slots_empty() -> None:
    device = NotingDevice()
    slots = VirtioMmioSlots([device], bus := IoBus(), _everything_is_ram)
    assert slots.present == 1
    assert bus.read(virtio_mmio_gpa(1), 4) == 0xFFFF_FFFF
    data = ffi.new("uint8_t[8]")
    for slot in range(-1, 33):
        answered = lib.mmio_interrupts_access(slots.interrupts, virtio_mmio_gpa(slot) + 0x60, 4, 0, data)
        assert answered == (slot == 0)
    slots.close()
    device.close()


def test_the_c_code_knows_as_many_slots_as_the_board_has() -> None:
    assert lib.MMIO_INTERRUPT_SLOTS == VIRTIO_MMIO_SLOTS == len(VIRTIO_MMIO_GSIS)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("is_write", [0, 1])
def test_what_the_vcpu_loop_answers_itself(size: int, is_write: int) -> None:
    """A 32-bit read of InterruptStatus, a 32-bit write of InterruptACK, and nothing else."""
    device = NotingDevice()
    slots = VirtioMmioSlots([device], IoBus(), _everything_is_ram)
    data = ffi.new("uint8_t[8]")
    answered = [
        offset
        for offset in range(-8, 0x1000)
        if lib.mmio_interrupts_access(slots.interrupts, virtio_mmio_gpa(0) + offset, size, is_write, data)
    ]
    assert answered == ([0x64 if is_write else 0x60] if size == 4 else [])
    slots.close()
    device.close()


def test_interrupts_are_each_devices_own() -> None:
    devices = [NotingDevice(name) for name in ("d0", "d1", "d2")]
    slots = VirtioMmioSlots(devices, bus := IoBus(), _everything_is_ram)
    for slot in (0, 1):
        bus.write(virtio_mmio_gpa(slot) + 0x70, 4, 1)
    devices[1].told().config_changed(CONFIG)
    assert [lib.mmio_interrupts_status(slots.interrupts, slot) for slot in range(3)] == [0, 2, 0]
    data = ffi.new("uint8_t[8]", b"\xff" * 8)
    assert lib.mmio_interrupts_access(slots.interrupts, virtio_mmio_gpa(0) + 0x64, 4, 1, data)
    assert [lib.mmio_interrupts_status(slots.interrupts, slot) for slot in range(3)] == [0, 2, 0]
    assert lib.mmio_interrupts_access(slots.interrupts, virtio_mmio_gpa(1) + 0x64, 4, 1, data)
    assert [lib.mmio_interrupts_status(slots.interrupts, slot) for slot in range(3)] == [0, 0, 0]
    slots.close()
    for device in devices:
        device.close()


def test_closing_closes_mains_eventfds_and_not_the_devices() -> None:
    device = NotingDevice()
    slots = VirtioMmioSlots([device], IoBus(), _everything_is_ram)
    (fd,) = slots.interrupt_fds
    slots.close()
    slots.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    for kept in (*device.kick_fds, *device.call_fds):
        os.fstat(kept)
    device.close()
