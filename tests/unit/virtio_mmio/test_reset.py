"""Resets: by the driver, by a reboot, of a device that hangs, and what other threads may do meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.unit.virtio_mmio.driver_rig import (
    CONFIG,
    DRIVER,
    DRIVER_OK,
    FEATURES_OK,
    NEEDS_RESET,
    DriverRig,
    NotingDevice,
)
from vmm_main.errors import HostError
from vmm_main.machine.address_map import virtio_mmio_gpa
from vmm_main.machine.io_bus import IoBus
from vmm_main.virtio_mmio.slots import VirtioMmioSlots

DEADLINE_S = 60.0


class ResetUnderWay:
    """A reset that one CPU has asked for and that the device hasn't done yet."""

    def __init__(self, rig: DriverRig) -> None:
        self._rig = rig
        self._begun = threading.Event()
        self._result: bool | None = None
        self._may_end = threading.Event()
        rig.device.when_reset = self._reset
        self.cpu = threading.Thread(target=lambda: rig.write(0x70, 0))
        self.cpu.start()
        assert self._begun.wait(DEADLINE_S)

    def _reset(self) -> bool:
        self._begun.set()
        assert self._may_end.wait(DEADLINE_S)
        assert self._result is not None
        return self._result

    def end(self, *, result: bool = True) -> None:
        self._rig.device.when_reset = lambda: True
        self._result = result
        self._may_end.set()
        self.cpu.join(DEADLINE_S)
        assert not self.cpu.is_alive()


@contextmanager
def on_another_cpu(access: Callable[[], None]) -> Iterator[threading.Thread]:
    cpu = threading.Thread(target=access)
    cpu.start()
    yield cpu
    cpu.join(DEADLINE_S)
    assert not cpu.is_alive()


def test_a_device_that_was_not_used_is_not_asked(rig: DriverRig) -> None:
    rig.negotiate()
    rig.set_up_queue(0)
    rig.write(0x70, 0)
    assert rig.status == 0
    assert rig.device.calls == []


def test_the_driver_sees_its_status_until_the_reset_is_done(rig: DriverRig) -> None:
    rig.go_live()
    reset = ResetUnderWay(rig)
    assert rig.status == DRIVER_OK
    assert rig.read(0x60) == 1
    assert rig.read(0x44) == 1
    assert rig.read(0x100, 8) == int.from_bytes(CONFIG[:8], "little")
    reset.end()
    assert rig.status == 0
    assert rig.read(0x60) == 0
    assert rig.read(0x44) == 0


def test_other_cpus_do_not_wait_for_a_reset_and_change_nothing(rig: DriverRig) -> None:
    rig.go_live()
    reset = ResetUnderWay(rig)
    rig.accept(0)
    rig.set_up_queue(1)
    rig.write(0x50, 7)
    rig.write(0x64, 3)
    assert rig.status == DRIVER_OK
    reset.end()
    assert rig.device.calls == ["activate", "reset"]


def test_a_second_cpus_status_waits_and_then_counts(rig: DriverRig) -> None:
    rig.go_live()
    reset = ResetUnderWay(rig)
    with on_another_cpu(lambda: rig.write(0x70, 1)):
        reset.end()
    assert rig.status == 1


def test_a_second_cpus_reset_finds_it_done(rig: DriverRig) -> None:
    rig.go_live()
    reset = ResetUnderWay(rig)
    with on_another_cpu(lambda: rig.write(0x70, 0)):
        reset.end()
    assert rig.device.calls == ["activate", "reset"]
    assert rig.status == 0


def test_a_second_cpus_configuration_waits_and_comes_too_late(rig: DriverRig) -> None:
    rig.go_live()
    reset = ResetUnderWay(rig)
    with on_another_cpu(lambda: rig.write(0x104, 0)):
        reset.end()
    assert rig.device.calls == ["activate", "reset"]


def test_the_main_thread_does_not_wait_for_a_reset(rig: DriverRig) -> None:
    rig.go_live()
    reset = ResetUnderWay(rig)
    rig.device.told().needs_reset()
    rig.device.config_space = bytes(len(CONFIG))
    rig.device.told().config_changed(rig.device.config_space)
    assert rig.status == DRIVER_OK | NEEDS_RESET
    reset.end()
    assert rig.status == 0, "what needed the reset has had it"
    assert rig.read(0x60) == 0
    assert rig.read(0x104) == 0


def test_a_device_may_say_that_it_needs_a_reset_while_it_is_activated(rig: DriverRig) -> None:
    """The transport holds no lock then that this takes."""

    class Broken(NotingDevice):
        def activate(self, features: int, vrings: object) -> None:
            self.calls.append("activate")
            self.told().needs_reset()

        def write_config(self, offset: int, data: bytes) -> None:
            self.told().config_changed(CONFIG)

        def reset(self) -> bool:
            self.told().needs_reset()
            return True

    rig = DriverRig(Broken())
    rig.negotiate()
    rig.write(0x104, 1)
    rig.set_up_queue(0)
    rig.write(0x70, DRIVER_OK)
    assert rig.status == DRIVER_OK | NEEDS_RESET
    assert rig.read(0x60) == 3
    rig.write(0x70, 0)
    assert rig.status == 0
    rig.close()


def test_a_device_that_cannot_be_reset_is_not_taken_for_reset(rig: DriverRig) -> None:
    rig.go_live()
    ResetUnderWay(rig).end(result=False)
    assert rig.status == DRIVER_OK | NEEDS_RESET
    assert rig.read(0x44) == 1, "it may still use its queue"
    rig.write(0x70, DRIVER)
    assert rig.status == DRIVER_OK | NEEDS_RESET
    rig.go_live()
    assert rig.device.calls == ["activate", "reset", "reset", "activate"]


def test_a_reboot_resets_what_was_in_use(rig: DriverRig) -> None:
    rig.slots.reset_devices()
    assert rig.device.calls == []
    rig.negotiate()
    rig.slots.reset_devices()
    assert rig.device.calls == []
    assert rig.status == 0
    rig.go_live()
    rig.device.told().config_changed(CONFIG)
    rig.slots.reset_devices()
    assert rig.device.calls == ["activate", "reset"]
    assert rig.status == 0
    assert rig.read(0x60) == 0
    rig.go_live()


def test_a_reboot_names_the_devices_that_it_fails_for_and_resets_the_others() -> None:
    devices = [NotingDevice(name) for name in ("d0", "d1", "d2", "d3")]
    slots = VirtioMmioSlots(devices, bus := IoBus(), lambda gpa, length: True)
    for slot, device in enumerate(devices):
        for written in (1, DRIVER):
            bus.write(virtio_mmio_gpa(slot) + 0x70, 4, written)
        bus.write(virtio_mmio_gpa(slot) + 0x24, 4, 1)
        bus.write(virtio_mmio_gpa(slot) + 0x20, 4, 1)
        for written in (FEATURES_OK, DRIVER_OK):
            bus.write(virtio_mmio_gpa(slot) + 0x70, 4, written)
        device.when_reset = [lambda: True, lambda: False][slot % 2]
    with pytest.raises(HostError, match=r"^d1, d3: "):
        slots.reset_devices()
    assert [device.calls for device in devices] == [["activate", "reset"]] * 4
    assert [bus.read(virtio_mmio_gpa(slot) + 0x70, 4) for slot in range(4)] == [0, 0x4F, 0, 0x4F]
    slots.close()
    for device in devices:
        device.close()
