"""A start that is due in a while, or has been called off."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm_main.event_loop import EventLoop, Timer


class DelayedStart:
    """At most one start of a device's next process that waits for its moment."""

    __slots__ = ("_loop", "_start", "_timer")

    def __init__(self, loop: EventLoop, start: Callable[[], None]) -> None:
        self._loop = loop
        self._start = start
        self._timer: Timer | None = None

    def after(self, delay_s: float) -> None:
        """Starts in delay_s seconds; at once for 0."""
        if delay_s == 0:
            self._start()
        else:
            self._timer = self._loop.call_later(delay_s, self._start)

    def cancel(self) -> None:
        """Calls it off, if it was still to come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
