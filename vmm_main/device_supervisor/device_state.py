"""The states of a device and the moves between them (DESIGN §5): one table, one function that moves.

::

    CONFIGURED --> READY --> RUNNING <--> PAUSED
        |            |          |            |
        +------------+--- DYING +------------+     killed or dead, not yet reaped: nothing restarts, no
        reset ends
                            |
                          DEAD --> CONFIGURED      restarted
                            |
                            +----> NEEDS_RESET     given up until the driver resets it: DEAD then, restarting
                            +----> STOPPED         the VM was paused because of it

A malformed ring moves RUNNING to NEEDS_RESET with its process alive.
"""

from __future__ import annotations

CONFIGURED = "configured"  # a process is on its way: cloned, jailed, configured; READY hasn't come
READY = "ready"  # it waits for the driver
RUNNING = "running"  # it works on the driver's rings
PAUSED = "paused"  # it has rings, and is quiesced
DYING = "dying"
DEAD = "dead"
NEEDS_RESET = "needs-reset"
STOPPED = "stopped"

STATES = (CONFIGURED, READY, RUNNING, PAUSED, DYING, DEAD, NEEDS_RESET, STOPPED)

TRANSITIONS = {
    CONFIGURED: (READY, DYING),
    READY: (
        RUNNING,
        PAUSED,
        DYING,
    ),  # PAUSED: the driver starts it, or it is restarted, in a VM that is stopped
    RUNNING: (PAUSED, READY, NEEDS_RESET, DYING),
    PAUSED: (RUNNING, READY, NEEDS_RESET, DYING),
    DYING: (DEAD,),
    DEAD: (CONFIGURED, NEEDS_RESET, STOPPED),
    NEEDS_RESET: (READY, CONFIGURED, DEAD, DYING),  # DEAD: reset, and its next process is on its way
    STOPPED: (CONFIGURED,),
}


class TransitionError(Exception):
    """A move that isn't in the table: a bug, which must not go on as if nothing had happened."""


def move(old: str, new: str) -> str:
    """Returns new if a device may go there from old.

    Raises:
        TransitionError: It may not.
    """
    if new not in TRANSITIONS[old]:
        raise TransitionError(f"from {old} to {new}; allowed are {', '.join(TRANSITIONS[old])}")
    return new
