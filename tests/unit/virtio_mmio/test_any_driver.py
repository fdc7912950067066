"""Drivers that do anything: whatever they write, the device is told sensible things in a sensible order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.virtio_mmio.driver_rig import MEMORY_BYTES, OFFERED, DriverRig

REACHABLE = {bits | error for bits in (0, 1, 3, 11, 15) for error in (0, 64, 128, 192)}

_VALUES = st.sampled_from(
    [0, 1, 2, 3, 11, 15, 64, 128, 16, 17, 256, 0x1000, 0x2000, 0x3000, MEMORY_BYTES, 0xFFFF_FFFF, 1 << 29]
)
_REGISTERS = st.sampled_from([0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x64, 0x70, 0x80, 0x84, 0x90, 0xA0, 0x104])
_WRITE = st.tuples(_REGISTERS, _VALUES)
# What random writes alone would hardly ever do in the right order.
_STEP = st.sampled_from(["negotiate", "queue 0", "queue 1", "ok", "reset", "needs reset", "config"])


def _take(rig: DriverRig, step: str | tuple[int, int]) -> None:
    if isinstance(step, tuple):
        rig.write(*step)
    elif step == "negotiate":
        for written in (1, 3):
            rig.write(0x70, written)
        rig.accept(OFFERED)
        rig.write(0x70, 11)
    elif step.startswith("queue"):
        rig.set_up_queue(int(step[-1]))
    elif step in ("ok", "reset"):
        rig.write(0x70, 15 if step == "ok" else 0)
    elif step == "needs reset":
        rig.device.told().needs_reset()
    else:
        rig.device.told().config_changed(rig.device.config_space)


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(st.one_of(_STEP, _WRITE), max_size=30))
def test_any_driver(steps: list[str | tuple[int, int]]) -> None:
    rig = DriverRig()
    live = False
    needs_reset_was_said = False
    for step in steps:
        before = rig.status
        told_before = len(rig.device.calls)
        _take(rig, step)
        needs_reset_was_said |= step == "needs reset"
        assert rig.status in REACHABLE
        for call in rig.device.calls[told_before:]:
            if call == "activate":
                assert not live, "active already"
                assert before == 11
                live = True
                assert rig.device.accepted & ~OFFERED == 0
                assert rig.device.accepted & 1 << 32
                for vring in rig.device.vrings:
                    assert vring.num in (1, 2, 4, 8, 16, 32, 64, 128, 256)
                    assert vring.num <= rig.device.queue_max_sizes[vring.index]
                    assert vring.desc_gpa % 16 == vring.avail_gpa % 2 == vring.used_gpa % 4 == 0
                    assert vring.desc_gpa + 16 * vring.num <= MEMORY_BYTES
                    assert vring.avail_gpa + 6 + 2 * vring.num <= MEMORY_BYTES
                    assert vring.used_gpa + 6 + 8 * vring.num <= MEMORY_BYTES
            elif call == "reset":
                assert live or needs_reset_was_said
                assert rig.status == 0
                live = needs_reset_was_said = False
            else:
                assert before & 8, call
        assert live == bool(rig.status & 4)
        assert bool(rig.read(0x60) & 1) == live
    rig.close()
