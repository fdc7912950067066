"""The table of moves between a device's states, and the one function that makes them."""

from __future__ import annotations

import pytest

from vmm_main.device_supervisor.device_state import (
    CONFIGURED,
    DEAD,
    DYING,
    NEEDS_RESET,
    PAUSED,
    READY,
    RUNNING,
    STATES,
    STOPPED,
    TRANSITIONS,
    TransitionError,
    move,
)

# DESIGN §5, written down a second time.
ALLOWED = {
    (CONFIGURED, READY),
    (READY, RUNNING),
    (READY, PAUSED),
    (RUNNING, PAUSED),
    (PAUSED, RUNNING),
    *((running, READY) for running in (RUNNING, PAUSED, NEEDS_RESET)),
    *((running, NEEDS_RESET) for running in (RUNNING, PAUSED)),
    *((alive, DYING) for alive in (CONFIGURED, READY, RUNNING, PAUSED, NEEDS_RESET)),
    (DYING, DEAD),
    (DEAD, CONFIGURED),
    (DEAD, NEEDS_RESET),
    (DEAD, STOPPED),
    (NEEDS_RESET, CONFIGURED),
    (NEEDS_RESET, DEAD),
    (STOPPED, CONFIGURED),
}


def test_every_state_has_its_row() -> None:
    assert set(TRANSITIONS) == set(STATES)


@pytest.mark.parametrize("new", STATES)
@pytest.mark.parametrize("old", STATES)
def test_a_move(old: str, new: str) -> None:
    if (old, new) in ALLOWED:
        assert move(old, new) == new
    else:
        with pytest.raises(TransitionError, match=f"from {old} to {new}"):
            move(old, new)


def test_nothing_restarts_before_it_is_reaped() -> None:
    assert TRANSITIONS[DYING] == (DEAD,)
    assert [old for old in STATES if CONFIGURED in TRANSITIONS[old]] == [DEAD, NEEDS_RESET, STOPPED]
