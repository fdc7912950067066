"""Registers written as no driver should, before real devices: what must be ignored is ignored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from device_procs.device_registry import KINDS
from tests.device.hostile_driver.attack import NUM, Descriptor, linked
from tests.device.hostile_driver.case import Answer, take_all
from tests.device.hostile_driver.cases import CASES
from tests.device.hostile_driver.declaration import declared
from tests.device.hostile_driver.register_driver import (
    AREAS,
    CONFIG,
    DRIVER,
    DRIVER_FEATURES,
    DRIVER_FEATURES_SEL,
    DRIVER_OK,
    END,
    FAILED,
    FEATURES_OK,
    FEATURES_SEL,
    NEEDS_RESET,
    QUEUE_NUM,
    QUEUE_READY,
    QUEUE_SEL,
    STATUS,
    WIDTHS,
    RegisterDriver,
)
from tests.device.hostile_driver.victim import LOOKS_AGAIN_S, Deadline
from tests.device.supervised_vm import SupervisedVm
from tools.fake_driver.driver_queue import DESC_F_WRITE

pytestmark = pytest.mark.timeout(300)

INTERRUPT_STATUS, GENERATION = 0x60, 0xFC
CONFIG_CHANGED = 2
MIB = 1 << 20
DECOY_GPA = 4 * MIB  # of rings that the device was never given


@pytest.fixture(params=KINDS)
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegisterDriver]:
    """A driver of a supervised device of each kind, which no test here may end."""
    device = declared(request.param)
    vm = SupervisedVm(tmp_path / "uids.lock", [], planned=((request.param, device.plan(tmp_path)),))
    with closing(vm), closing(RegisterDriver(vm, device)) as made:
        pid, outside = vm.pid(), device.untouched(tmp_path)
        yield made
        assert vm.pid() == pid
        assert [name for name, _ in vm.events if name != "DEVICE_NEEDS_RESET"] == []
        assert device.untouched(tmp_path) == outside


def serve(driver: RegisterDriver) -> None:
    """Every request of every queue, one after the other."""
    for index, attack in driver.attacks.items():
        for request in driver.declaration.requests.values():
            if request.queue != index:
                continue
            attack.reuse_buffers()
            attack.offer_well_formed(request)
            attack.publish()
            deadline = Deadline(f"queue {index}")
            while attack.pending:
                driver.kick(index)
                attack.queue.wait_for_call(LOOKS_AGAIN_S)
                take_all(attack)
                deadline.check()
    assert driver.status == DRIVER_OK


def registers(driver: RegisterDriver) -> list[int]:
    """All that a driver sees; InterruptStatus is the device's to change."""
    shown = [driver.read(offset) for offset in range(0, CONFIG, 4) if offset != INTERRUPT_STATUS]
    return shown + [driver.read(offset, 1) for offset in range(CONFIG, END)]


def lay_out_decoy(driver: RegisterDriver) -> bytes:
    """Rings with a chain that is offered; what their memory holds."""
    ram = driver.vm.ram
    ram.write(DECOY_GPA, Descriptor(DECOY_GPA + 3 * 4096, 64, DESC_F_WRITE).pack())
    ram.write(DECOY_GPA + 4096, (0).to_bytes(2, "little") + (1).to_bytes(2, "little") + bytes(2))
    return ram.read(DECOY_GPA, MIB)


def selected_registers(driver: RegisterDriver) -> list[int]:
    """The same, with the first of each that can be selected."""
    driver.write(QUEUE_SEL, 0)
    driver.write(FEATURES_SEL, 0)
    return registers(driver)


def wait_for_needs_reset(driver: RegisterDriver) -> None:
    deadline = Deadline("DEVICE_NEEDS_RESET")
    while not driver.status & NEEDS_RESET:
        deadline.check()


LIVE: dict[str, tuple[str, Callable[[RegisterDriver], None]]] = {
    "a ring's addresses": (
        "§4.2.2.2",
        lambda driver: driver.write_queue(
            0, NUM, **{name: DECOY_GPA + 4096 * part for part, name in enumerate(AREAS)}
        ),
    ),
    "a ring's addresses, outside of RAM": (
        "§4.2.2.2",
        lambda driver: driver.write_queue(0, NUM, **dict.fromkeys(AREAS, (1 << 64) - 4096)),
    ),
    "the queue's size": ("§4.2.2.2", lambda driver: driver.write_queue(0, 2 * NUM)),
    "the queue's size: 0": ("§4.2.2.2", lambda driver: driver.write_queue(0, 0)),
    "the queue's size: 2^32-1": ("§4.2.2.2", lambda driver: driver.write_queue(0, 0xFFFF_FFFF)),
    "QueueReady taken back": ("§4.2.2.2", lambda driver: _write_of_queue(driver, QUEUE_READY, 0)),
    "QueueReady of odd values": (
        "§4.2.2.2",
        lambda driver: _write_of_queue(driver, QUEUE_READY, 0xFFFF_FFFE),
    ),
    "a queue that isn't there": ("§4.2.2.2", lambda driver: driver.write_queue(1 << 16, NUM, desc_gpa=0)),
    "features": ("§3.1.1", lambda driver: _write_features(driver, 0)),
    "features that there aren't": ("§3.1.1", lambda driver: _write_features(driver, (1 << 64) - 1)),
    "DRIVER_OK taken back": ("§2.1.1", lambda driver: driver.write(STATUS, FEATURES_OK)),
    "FEATURES_OK taken back": ("§2.1.1", lambda driver: driver.write(STATUS, DRIVER)),
    "FEATURES_OK again": ("§2.1.1", lambda driver: driver.write(STATUS, DRIVER_OK)),
    "DEVICE_NEEDS_RESET, by the driver": (
        "§2.1.2",
        lambda driver: driver.write(STATUS, DRIVER_OK | NEEDS_RESET),
    ),
    "status bits that there aren't": ("§2.1", lambda driver: driver.write(STATUS, 0xFFFF_FF0F)),
}


def _write_of_queue(driver: RegisterDriver, register: int, value: int) -> None:
    driver.write(QUEUE_SEL, 0)
    driver.write(register, value)


def _write_features(driver: RegisterDriver, features: int) -> None:
    for word in range(4):
        driver.write(DRIVER_FEATURES_SEL, word)
        driver.write(DRIVER_FEATURES, features >> 32 * word & 0xFFFF_FFFF)


def test_what_is_live_stays_as_it_is(driver: RegisterDriver) -> None:
    """Where the driver would have the rings now, a chain lies ready: nobody takes it."""
    driver.go_live()
    for name, (section, change) in LIVE.items():
        serve(driver)
        _write_of_queue(driver, QUEUE_NUM, NUM)
        before = selected_registers(driver)
        decoy = lay_out_decoy(driver)
        change(driver)
        assert selected_registers(driver) == before, (name, section)
        serve(driver)
        assert driver.vm.ram.read(DECOY_GPA, MIB) == decoy, (name, section)
    driver.reset()


def test_every_offset_at_every_width(driver: RegisterDriver) -> None:
    """Of a live device; only Status as a whole may end that (0, and FAILED)."""
    driver.go_live()
    before = selected_registers(driver)
    for offset in range(END + 8):
        for width in WIDTHS:
            ones = (1 << 8 * width) - 1
            for value in (0, 1, 0x80 << 8 * (width - 1), ones):
                if (offset, width) == (STATUS, 4) and (value == 0 or (value & FAILED and value <= 0xFF)):
                    continue
                driver.write(offset, value, width)
            driver.read(offset, width)
    after = selected_registers(driver)
    # A device may take what is written to its configuration space; nothing else has changed.
    assert after[: CONFIG // 4 - 1] == before[: CONFIG // 4 - 1]
    if not driver.device.writable_config:
        assert after == before
    serve(driver)
    driver.reset()
    driver.go_live()
    serve(driver)


def test_the_status_tells_of_every_mistake(driver: RegisterDriver) -> None:
    """DEVICE_NEEDS_RESET, with a configuration change (§2.1.2); after a reset all is well."""
    for name, case in CASES.items():
        for index in driver.declaration.queues:
            driver.go_live(case.lacks)
            attack = driver.attacks[index]
            suits = case.suits(attack) and not case.rings(attack) and case.live is None
            if suits and case.answer is Answer.NEEDS_RESET:
                case.spoil(attack)
                attack.publish()
                driver.kick(index)
                wait_for_needs_reset(driver)
                assert driver.status == DRIVER_OK | NEEDS_RESET, name
                assert driver.read(INTERRUPT_STATUS) & CONFIG_CHANGED, name
                assert attack.queue.used_idx == 0, name
            driver.reset()
    driver.go_live()
    serve(driver)


def test_queues_that_cannot_be(driver: RegisterDriver) -> None:
    """The transport refuses most of what the table has for rings, before the device hears of it."""
    refused = 0
    for name, case in CASES.items():
        driver.lay_out(event_idx=True)
        attack = driver.attacks[driver.declaration.queues[0]]
        if not case.rings(attack):
            continue
        rings = {part: getattr(attack.queue, part) for part in AREAS} | case.rings(attack)
        driver.negotiate(driver.offered())
        attack.offer(linked(attack.chain()))
        driver.write_queue(0, rings.pop("num", NUM), **rings)
        if driver.read(QUEUE_READY):  # what the transport doesn't look at, the device does
            driver.write(STATUS, DRIVER_OK)
            wait_for_needs_reset(driver)
            assert driver.status == DRIVER_OK | NEEDS_RESET, name
        else:
            driver.write(STATUS, DRIVER_OK)
            assert driver.status == FEATURES_OK | NEEDS_RESET, name
            refused += 1
        driver.reset()
    assert refused > 10
    driver.go_live()
    serve(driver)
