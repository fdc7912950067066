"""Every status, and every value that a driver could write to it."""

from __future__ import annotations

import pytest

from tests.unit.virtio_mmio.driver_rig import (
    ACKNOWLEDGE,
    DRIVER,
    DRIVER_OK,
    FAILED,
    FEATURES_OK,
    NEEDS_RESET,
    DriverRig,
)
from vmm_main.virtio_mmio.device_status import next_status

STEPS = {(0, 1), (0, 3), (1, 3), (3, 11), (11, 15)}
FAR = [0x100, 0x101, 0x103, 0x10F, 0x8000_0000, 0xFFFF_FF00, 0xFFFF_FFFF]


def test_all_65536_pairs_and_some_beyond() -> None:
    """Written 0: a reset. Written with FAILED: that, added. A step: taken. Anything else: as before."""
    for status in range(256):
        for written in [*range(256), *FAR]:
            if written == 0:
                expected = 0
            elif 128 <= written < 256:
                expected = status | 128
            elif (status, written) in STEPS:
                expected = written
            else:
                expected = status
            assert next_status(status, written) == expected, (status, written)


# How a driver gets a device into each state that there is.
REACHED_BY = {
    0: (),
    ACKNOWLEDGE: (ACKNOWLEDGE,),
    DRIVER: (ACKNOWLEDGE, DRIVER),
    FEATURES_OK: (ACKNOWLEDGE, DRIVER, FEATURES_OK),
    DRIVER_OK: (ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK),
}


def _bring(rig: DriverRig, state: int) -> None:
    rig.write(0x70, 0)
    rig.device.calls.clear()
    for written in REACHED_BY[state & 0x3F]:
        if written == FEATURES_OK:
            rig.accept(1 << 32)
        rig.write(0x70, written)
    if state & NEEDS_RESET:
        rig.device.told().needs_reset()
    if state & FAILED:
        rig.write(0x70, rig.status | FAILED)
    assert rig.status == state


@pytest.mark.parametrize("error", [0, NEEDS_RESET, FAILED, NEEDS_RESET | FAILED])
@pytest.mark.parametrize("state", REACHED_BY)
def test_the_register_in_every_state(rig: DriverRig, state: int, error: int) -> None:
    state |= error
    for written in [*range(1, 256), *FAR]:
        _bring(rig, state)
        was_active = rig.device.calls.copy()
        rig.write(0x70, written)
        if 128 <= written < 256:
            expected = state | FAILED
        else:
            # Into FEATURES_OK from here only with what was accepted on the way: nothing, when the way ends
            # before it.
            step = (state, written) in STEPS and (state, written) != (DRIVER, FEATURES_OK)
            expected = written if step else state
        assert rig.status == expected, (state, written)
        went_live = (state, written) == (FEATURES_OK, DRIVER_OK)
        assert rig.device.calls == [*was_active, *["activate"] * went_live]
    _bring(rig, state)
    involved = bool(rig.device.calls) or bool(state & NEEDS_RESET)
    rig.device.calls.clear()
    rig.write(0x70, 0)
    assert rig.status == 0
    assert rig.device.calls == ["reset"] * involved


def test_a_driver_that_failed_must_reset_before_it_tries_again(rig: DriverRig) -> None:
    rig.go_live()
    rig.write(0x70, DRIVER_OK | FAILED)
    for written in (ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK):
        rig.write(0x70, written)
        assert rig.status == DRIVER_OK | FAILED
    assert rig.device.calls == ["activate"]
    rig.go_live()
    assert rig.device.calls == ["activate", "reset", "activate"]
