"""How much a process may say that nobody has asked for: each message costs main more than it costs that."""

from __future__ import annotations

MESSAGES_AT_ONCE = 200
MESSAGES_PER_S = 50.0


class TalkLimit:
    """A bucket of messages that fills slowly; beside it, what the driver may have made the process say.

    A driver can make a mistake in each of its queues as often as it sets them up, and as fast. That a process
    says so (NEEDS_RESET) is no talk of its own: once for each queue that it was given since the last reset.
    """

    __slots__ = ("_at_s", "_left", "_mistakes_told", "_queues")

    def __init__(self, now_s: float) -> None:
        """now_s is the time (monotonic)."""
        self._at_s = now_s
        self._left = float(MESSAGES_AT_ONCE)
        self._queues: set[int] = set()
        self._mistakes_told = 0

    def gave_queue(self, index: int) -> None:
        """The process may work on a queue of the driver's."""
        self._queues.add(index)

    def was_reset(self) -> None:
        """It has said that it doesn't any more."""
        self._queues.clear()
        self._mistakes_told = 0

    def admit(self, name: str, now_s: float) -> bool:
        """Whether it may say this message, of which it has one less to say from then on."""
        if name == "NEEDS_RESET" and self._mistakes_told < len(self._queues):
            self._mistakes_told += 1
            return True
        self._left = min(float(MESSAGES_AT_ONCE), self._left + (now_s - self._at_s) * MESSAGES_PER_S)
        self._at_s = now_s
        self._left -= 1
        return self._left >= 0
