"""What a client may cost main: units that come back with time, to all clients that wait for some together."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.qmp.limits import QmpLimits


class Budget:
    """One session's units. What is overdrawn must come back before it may go on.

    Attributes:
        units: What it has; less than 0 if it must wait.
    """

    __slots__ = ("_at_s", "_limits", "units")

    def __init__(self, limits: QmpLimits) -> None:
        self.units = float(limits.burst)
        self._limits = limits
        self._at_s = time.monotonic()

    def spend(self, units: float) -> None:
        """Pays for input, or for a command that was none."""
        self.units -= units

    def spend_time(self, took_s: float) -> None:
        """Pays for a command: at least a unit."""
        self.units -= max(1.0, took_s / self._limits.unit_s)

    def wait_s(self, waiting: int) -> float:
        """How long it must wait before it may go on, now that so many wait; 0 if it needn't."""
        now_s, rate = time.monotonic(), self._limits.per_second / max(1, waiting)
        self.units = min(float(self._limits.burst), self.units + (now_s - self._at_s) * rate)
        self._at_s = now_s
        if self.units >= 0:
            return 0.0
        # A tenth of a second's worth, so that a client in a hurry isn't given one command a wake-up.
        return 0.1 - self.units / rate
