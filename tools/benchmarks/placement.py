"""Where the two ends of what is measured run: it decides more than anything else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# The processors of driver and device.
Placement = tuple[set[int], set[int]]


def placements() -> dict[str, Placement]:
    """Where driver and device may be: the scheduler would choose either, and they differ tenfold."""
    cpus = sorted(os.sched_getaffinity(0))
    found: dict[str, Placement] = {"one CPU": ({cpus[0]}, {cpus[0]})}
    if len(cpus) > 1:
        found["two CPUs"] = ({cpus[0]}, {cpus[1]})
    return found


@contextmanager
def driver_at(placement: Placement) -> Iterator[None]:
    """Has this process run where the placement has the driver."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, placement[0])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
