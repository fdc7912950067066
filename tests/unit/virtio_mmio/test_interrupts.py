"""InterruptStatus, InterruptACK and the line: what the driver hears of, and when."""

from __future__ import annotations

import pytest

from tests.unit.virtio_mmio.driver_rig import CONFIG, DRIVER_OK, FAILED, FEATURES_OK, NEEDS_RESET, DriverRig

INTERRUPT_STATUS, INTERRUPT_ACK = 0x60, 0x64
USED_BUFFERS, CONFIG_CHANGED = 1, 2


def test_used_buffers_are_shown_while_the_device_runs(rig: DriverRig) -> None:
    """Whether there are any or not: the worker signals past main."""
    rig.negotiate()
    rig.set_up_queue(0)
    assert rig.read(INTERRUPT_STATUS) == 0
    rig.write(0x70, DRIVER_OK)
    for _ in range(2):
        assert rig.read(INTERRUPT_STATUS) == USED_BUFFERS
        rig.write(INTERRUPT_ACK, USED_BUFFERS)
    assert rig.interrupts() == 0
    rig.write(0x70, 0)
    assert rig.read(INTERRUPT_STATUS) == 0


def test_a_change_of_the_configuration_is_shown_until_acknowledged(rig: DriverRig) -> None:
    rig.go_live()
    rig.device.told().config_changed(CONFIG)
    assert rig.interrupts() == 1
    assert rig.read(INTERRUPT_STATUS) == USED_BUFFERS | CONFIG_CHANGED
    rig.write(INTERRUPT_ACK, USED_BUFFERS)
    assert rig.read(INTERRUPT_STATUS) == USED_BUFFERS | CONFIG_CHANGED
    rig.write(INTERRUPT_ACK, CONFIG_CHANGED)
    assert rig.read(INTERRUPT_STATUS) == USED_BUFFERS
    rig.device.told().config_changed(CONFIG)
    rig.device.told().config_changed(CONFIG)
    assert rig.interrupts() == 2, "each is a notification"
    rig.write(INTERRUPT_ACK, 0xFFFF_FFFF)
    assert rig.read(INTERRUPT_STATUS) == USED_BUFFERS


def test_before_driver_ok_a_change_is_shown_and_its_notification_waits(rig: DriverRig) -> None:
    rig.negotiate()
    rig.set_up_queue(0)
    rig.device.told().config_changed(CONFIG)
    assert rig.read(INTERRUPT_STATUS) == CONFIG_CHANGED
    assert rig.interrupts() == 0
    rig.write(0x70, DRIVER_OK)
    assert rig.interrupts() == 1
    assert rig.read(INTERRUPT_STATUS) == USED_BUFFERS | CONFIG_CHANGED


def test_a_change_acknowledged_before_driver_ok_is_not_told_again(rig: DriverRig) -> None:
    rig.negotiate()
    rig.device.told().config_changed(CONFIG)
    rig.write(INTERRUPT_ACK, CONFIG_CHANGED)
    rig.write(0x70, DRIVER_OK)
    assert rig.interrupts() == 0


def test_a_change_while_nobody_drives_the_device_is_no_event(rig: DriverRig) -> None:
    rig.device.told().config_changed(CONFIG)
    assert rig.read(INTERRUPT_STATUS) == 0
    rig.go_live()
    rig.device.told().config_changed(CONFIG)
    rig.write(0x70, 0)
    assert rig.interrupts() == 1
    assert rig.read(INTERRUPT_STATUS) == 0
    rig.go_live()
    assert rig.read(INTERRUPT_STATUS) == USED_BUFFERS
    assert rig.interrupts() == 0


def test_a_running_device_that_needs_a_reset_says_so_by_a_configuration_change(rig: DriverRig) -> None:
    rig.go_live()
    generation = rig.read(0xFC)
    rig.device.told().needs_reset()
    assert rig.status == DRIVER_OK | NEEDS_RESET
    assert rig.read(INTERRUPT_STATUS) == USED_BUFFERS | CONFIG_CHANGED
    assert rig.interrupts() == 1
    assert rig.read(0xFC) == generation
    rig.go_live()
    assert rig.device.calls == ["activate", "reset", "activate"]


@pytest.mark.parametrize("status", [0, 1, 3, FEATURES_OK])
def test_a_device_that_needs_a_reset_earlier_is_reset_and_says_nothing(rig: DriverRig, status: int) -> None:
    if status == FEATURES_OK:
        rig.negotiate()
    else:
        rig.write(0x70, status)
    rig.device.told().needs_reset()
    assert rig.status == status | NEEDS_RESET
    assert rig.read(INTERRUPT_STATUS) == 0
    assert rig.interrupts() == 0
    rig.write(0x70, DRIVER_OK)
    assert rig.device.calls == []
    rig.write(0x70, 0)
    assert rig.device.calls == ["reset"]
    assert rig.status == 0


def test_a_driver_that_gave_up_is_still_told(rig: DriverRig) -> None:
    rig.go_live()
    rig.write(0x70, DRIVER_OK | FAILED)
    rig.device.told().needs_reset()
    assert rig.status == DRIVER_OK | FAILED | NEEDS_RESET
    assert rig.interrupts() == 1
