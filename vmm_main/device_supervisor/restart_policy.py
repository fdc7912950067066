"""How often a device may be restarted, and how soon: a bucket of restarts that fills slowly, and a backoff.

The first restart after a good life is at once (a disk should be back in milliseconds); a process that dies
right after it became ready is waited for, longer each time.
"""

from __future__ import annotations

# A guest that crashes its device on purpose gets this many restarts at once, and one a minute: each costs
# the host a clone and a jail. The bucket must fill more slowly than the longest backoff empties it: otherwise
# what always dies would be restarted for ever.
RESTARTS_AT_ONCE = 20
SECONDS_PER_RESTART = 60.0
# A life shorter than this counts as a failed one.
SHORT_LIFE_S = 1.0
FIRST_DELAY_S = 0.01
LONGEST_DELAY_S = 1.0


class RestartPolicy:
    """The restarts of one device."""

    __slots__ = ("_at_s", "_left", "_limit", "_short_lives")

    def __init__(self, now_s: float, limit: int = RESTARTS_AT_ONCE) -> None:
        """now_s is the time (monotonic), limit how many restarts may follow each other at once."""
        self._limit = limit
        self._left = float(limit)
        self._at_s = now_s
        self._short_lives = 0

    def next_delay_s(self, now_s: float, life_s: float) -> float | None:
        """Takes one restart.

        Args:
            now_s: The time (monotonic).
            life_s: How long the process that died had been ready, 0 if it never was.

        Returns:
            How long to wait before it, or None: they are used up.
        """
        self._left = min(self._limit, self._left + (now_s - self._at_s) / SECONDS_PER_RESTART)
        self._at_s = now_s
        if self._left < 1:
            return None
        self._left -= 1
        if life_s >= SHORT_LIFE_S:
            self._short_lives = 0
            return 0.0
        self._short_lives += 1
        if self._short_lives == 1:
            return 0.0
        doublings = min(self._short_lives - 2, 20)
        return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2**doublings))
