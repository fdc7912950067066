"""Setting queues up: what the device is told has been checked; what can't be used needs a reset."""

from __future__ import annotations

import pytest

from tests.unit.virtio_mmio.driver_rig import (
    DRIVER,
    DRIVER_OK,
    FAILED,
    FEATURES_OK,
    GOOD_QUEUE,
    MEMORY_BYTES,
    NEEDS_RESET,
    DriverRig,
    NotingDevice,
    Queue,
)
from vmm_main.guest_memory import GuestMemory

DESC, AVAIL, USED = 0x1000, 0x2000, 0x3000
# virtio 1.2 §2.7: bytes of each part of a ring of 16.
DESC_BYTES, AVAIL_BYTES, USED_BYTES = 16 * 16, 6 + 2 * 16, 6 + 8 * 16


def _last(length: int, alignment: int) -> int:
    """The last place in RAM where length bytes fit."""
    return (MEMORY_BYTES - length) // alignment * alignment


GOOD: list[Queue] = [
    GOOD_QUEUE,
    (1, DESC, AVAIL, USED),
    (2, DESC, AVAIL, USED),
    (256, DESC, AVAIL + 0x200, USED + 0x200),
    (16, 0, 0x200, 0x400),
    (16, DESC, DESC, DESC),
    (16, DESC + 16, AVAIL + 2, USED + 4),
    (16, _last(DESC_BYTES, 16), AVAIL, USED),
    (16, DESC, _last(AVAIL_BYTES, 2), USED),
    (16, DESC, AVAIL, _last(USED_BYTES, 4)),
]

BAD: list[Queue] = [
    *((num, DESC, AVAIL, USED) for num in (0, 3, 15, 17, 255, 257, 512, 1 << 15, 1 << 16, 0xFFFF_FFFF)),
    *((16, DESC + off, AVAIL, USED) for off in (1, 2, 4, 8, 15)),
    (16, DESC, AVAIL + 1, USED),
    *((16, DESC, AVAIL, USED + off) for off in (1, 2, 3)),
    (16, _last(DESC_BYTES, 16) + 16, AVAIL, USED),
    (16, DESC, _last(AVAIL_BYTES, 2) + 2, USED),
    (16, DESC, AVAIL, _last(USED_BYTES, 4) + 4),
    *((16, far, AVAIL, USED) for far in (MEMORY_BYTES, 0xFEB0_0000, 1 << 32, 1 << 63, (1 << 64) - 16)),
    *((16, DESC, far, USED) for far in (MEMORY_BYTES, 0xFEB0_0000, 1 << 32, 1 << 63, (1 << 64) - 2)),
    *((16, DESC, AVAIL, far) for far in (MEMORY_BYTES, 0xFEB0_0000, 1 << 32, 1 << 63, (1 << 64) - 4)),
]


@pytest.mark.parametrize("queue", GOOD, ids=str)
def test_a_good_queue_is_told_to_the_device(rig: DriverRig, queue: Queue) -> None:
    rig.negotiate()
    rig.set_up_queue(0, queue)
    assert rig.read(0x44) == 1
    assert rig.device.calls == [], "the device hears of it at DRIVER_OK"
    rig.write(0x70, DRIVER_OK)
    (vring,) = rig.device.vrings
    assert vring.index == 0
    assert (vring.num, vring.desc_gpa, vring.avail_gpa, vring.used_gpa) == queue


def test_the_last_write_of_each_half_of_an_address_counts(rig: DriverRig) -> None:
    rig.negotiate()
    rig.write(0x38, 0xFFFF)
    for register in (0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4):
        rig.write(register, 0xFFFF_FFFF)
    rig.set_up_queue(0)
    rig.write(0x70, DRIVER_OK)
    (vring,) = rig.device.vrings
    assert (vring.num, vring.desc_gpa, vring.avail_gpa, vring.used_gpa) == GOOD_QUEUE


@pytest.mark.parametrize("queue", BAD, ids=str)
def test_a_bad_queue_needs_a_reset(rig: DriverRig, queue: Queue) -> None:
    rig.negotiate()
    rig.set_up_queue(0, queue)
    assert rig.read(0x44) == 0
    assert rig.status == FEATURES_OK | NEEDS_RESET
    assert rig.interrupts() == 0, "no notification before DRIVER_OK"
    rig.write(0x70, DRIVER_OK)
    assert rig.status == FEATURES_OK | NEEDS_RESET
    rig.go_live()
    assert rig.device.calls == ["activate"], "the device had nothing to do with it"


def test_the_size_is_held_against_each_queues_own_limit(rig: DriverRig) -> None:
    rig.negotiate()
    rig.write(0x30, 1)
    assert rig.read(0x34) == 64
    rig.set_up_queue(1, (128, DESC, AVAIL, USED))
    assert rig.status == FEATURES_OK | NEEDS_RESET


def test_high_memory_is_ram_and_the_hole_is_not() -> None:
    memory = GuestMemory(4 << 30, include_in_core=True)
    rig = DriverRig(is_ram=memory.is_ram)
    rig.negotiate()
    rig.set_up_queue(0, (16, 1 << 32, (1 << 32) + 0x1000, (1 << 32) + 0x2000))
    assert rig.read(0x44) == 1
    rig.set_up_queue(1, (16, 0xC000_0000 - 0x100, 0x1000, (1 << 32) + (1 << 30) - 0x1000))
    assert rig.read(0x44) == 1
    rig.write(0x44, 0)
    rig.set_up_queue(1, (16, 0xC000_0000 - 0xF0, 0x1000, 0x2000))
    assert rig.status == FEATURES_OK | NEEDS_RESET
    rig.close()
    memory.close()


def test_queues_are_set_up_in_any_order_and_left_out() -> None:
    rig = DriverRig(NotingDevice(queue_max_sizes=(8, 16, 32, 64)))
    rig.negotiate()
    rig.set_up_queue(3, (64, 0x4000, 0x5000, 0x6000))
    rig.set_up_queue(0, (8, 0x1000, 0x2000, 0x3000))
    rig.write(0x70, DRIVER_OK)
    assert [(vring.index, vring.num, vring.desc_gpa) for vring in rig.device.vrings] == [
        (0, 8, 0x1000),
        (3, 64, 0x4000),
    ]
    rig.close()


@pytest.mark.parametrize("index", [2, 3, 64, 0x10000, 0xFFFF_FFFF])
def test_a_queue_that_is_not_there(rig: DriverRig, index: int) -> None:
    rig.negotiate()
    rig.set_up_queue(index)
    assert rig.read(0x34) == 0
    assert rig.read(0x44) == 0
    assert rig.status == FEATURES_OK
    rig.write(0x70, DRIVER_OK)
    assert rig.device.vrings == []


def test_a_ready_queue_keeps_what_was_checked(rig: DriverRig) -> None:
    rig.negotiate()
    rig.set_up_queue(0)
    rig.write(0x38, 0xFFFF)
    for register in (0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4):
        rig.write(register, 0xFFFF_FFFF)
    rig.write(0x44, 1)
    assert rig.status == FEATURES_OK
    rig.write(0x70, DRIVER_OK)
    (vring,) = rig.device.vrings
    assert (vring.num, vring.desc_gpa, vring.avail_gpa, vring.used_gpa) == GOOD_QUEUE


def test_a_queue_taken_back_before_driver_ok_can_be_set_up_otherwise(rig: DriverRig) -> None:
    rig.negotiate()
    rig.set_up_queue(0)
    rig.write(0x44, 0)
    assert rig.read(0x44) == 0
    rig.set_up_queue(0, (4, 0x7000, 0x8000, 0x9000))
    rig.write(0x70, DRIVER_OK)
    assert [(vring.num, vring.desc_gpa) for vring in rig.device.vrings] == [(4, 0x7000)]


def test_queue_ready_cannot_be_taken_back_from_a_running_device(rig: DriverRig) -> None:
    """It must not access a queue that isn't ready: so it says that this one still is."""
    rig.go_live()
    rig.write(0x44, 0)
    assert rig.read(0x44) == 1
    rig.set_up_queue(1)
    assert rig.read(0x44) == 0, "and no queue is added to a running device"
    assert rig.device.calls == ["activate"]


@pytest.mark.parametrize("value", [2, 3, 0x101, 0x8000_0000, 0xFFFF_FFFF])
def test_queue_ready_takes_one_and_zero_only(rig: DriverRig, value: int) -> None:
    rig.negotiate()
    rig.write(0x44, value)
    assert rig.read(0x44) == 0
    assert rig.status == FEATURES_OK
    rig.set_up_queue(0)
    rig.write(0x44, value)
    assert rig.read(0x44) == 1


@pytest.mark.parametrize("status", [0, 1, DRIVER, DRIVER | FAILED])
def test_queues_are_set_up_after_features_ok_only(rig: DriverRig, status: int) -> None:
    for step in (1, DRIVER, DRIVER | FAILED):
        if step <= status:
            rig.write(0x70, step)
    rig.set_up_queue(0, (0, 1, 1, 1))
    assert rig.read(0x44) == 0
    assert rig.status == status


def test_a_reset_forgets_every_queue(rig: DriverRig) -> None:
    rig.negotiate()
    rig.set_up_queue(0)
    rig.set_up_queue(1)
    rig.write(0x70, 0)
    for index in (0, 1):
        rig.write(0x30, index)
        assert rig.read(0x44) == 0
    rig.negotiate()
    rig.write(0x30, 1)
    rig.write(0x44, 1)
    assert rig.status == FEATURES_OK | NEEDS_RESET, "its size and places are gone, too"
