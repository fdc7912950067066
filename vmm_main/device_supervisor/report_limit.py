"""How often a device's own reports get into log and QMP: a guest or a hostile process can't flood them."""

from __future__ import annotations

REPORTS_AT_ONCE = 20
REPORTS_PER_S = 1.0


class ReportLimit:
    """A bucket of reports of one kind, of one device, that fills slowly."""

    __slots__ = ("_at_s", "_held_back", "_left")

    def __init__(self, now_s: float) -> None:
        """now_s is the time (monotonic)."""
        self._at_s = now_s
        self._left = float(REPORTS_AT_ONCE)
        self._held_back = 0

    def admit(self, now_s: float) -> str | None:
        """Takes one report.

        Returns:
            None if it is to be held back; else what to add to it, which tells how many were since the last.
        """
        self._left = min(float(REPORTS_AT_ONCE), self._left + (now_s - self._at_s) * REPORTS_PER_S)
        self._at_s = now_s
        if self._left < 1:
            self._held_back += 1
            return None
        self._left -= 1
        held_back, self._held_back = self._held_back, 0
        return f" (held back since the last: {held_back})" if held_back else ""
