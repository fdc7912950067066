"""The main thread's event loop: descriptors, timers, and calls from other threads.

Everything but the vCPUs' own exits happens on this loop: chardevs, QMP, signals, the supervisor. A callback
must not block. asyncio would do the same for 33 ms of every start (docs/decisions/).
"""

from __future__ import annotations

import _thread
import posix as os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
HANG_UP = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


class Timer:
    """A callback that is due at a moment of the monotonic clock; cancel() takes it back."""

    __slots__ = ("_loop", "callback", "deadline_s")

    def __init__(self, loop: EventLoop, deadline_s: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self.deadline_s = deadline_s
        self.callback = callback

    def cancel(self) -> None:
        """Takes the timer back; nothing happens if it has fired or was cancelled before."""
        self._loop.forget_timer(self)


class EventLoop:
    """Dispatches readiness of descriptors, timers and cross-thread calls on the thread that runs it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._calls: list[Callable[[], None]] = []
        self._calls_lock = _thread.allocate_lock()
        self._stopping = False
        self._inner: EventLoop | None = None
        self._is_nested = False
        self._is_dispatched = False  # by the loop that it is nested in
        self._runs_alone = 0
        self._round = 0
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.watch(self._wake_fd, READABLE, self._run_calls)

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Calls callback(ready events) whenever fd is ready for one of events (HANG_UP is always reported).

        Level-triggered. events may be 0: then only hang-ups are reported.
        """
        self._epoll.register(fd, events)
        self._watched[fd] = callback

    def rewatch(self, fd: int, events: int) -> None:
        """Changes the events that a watched fd is watched for."""
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Forgets fd. Must be called before fd is closed."""
        del self._watched[fd]
        self._epoll.unregister(fd)

    def call_at(self, deadline_s: float, callback: Callable[[], None]) -> Timer:
        """Calls callback once time.monotonic() has reached deadline_s."""
        timer = Timer(self, deadline_s, callback)
        self._timers.append(timer)
        self._timers.sort(key=lambda timer: timer.deadline_s)
        return timer

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Calls callback in delay_s seconds."""
        return self.call_at(time.monotonic() + delay_s, callback)

    def forget_timer(self, timer: Timer) -> None:
        """Timer.cancel's other half."""
        if timer in self._timers:
            self._timers.remove(timer)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Calls callback on the loop's thread, soon; the one method that any thread may call."""
        with self._calls_lock:
            self._calls.append(callback)
        os.eventfd_write(self._wake_fd, 1)

    def stop(self) -> None:
        """Makes run() return after the callbacks that are due now, or at once if it comes before run()."""
        self._stopping = True

    def run(self) -> None:
        """Dispatches until stop() is called."""
        while not self._stopping:
            self.run_once()
        self._stopping = False

    def run_once(self, timeout_s: float | None = None) -> None:
        """Waits for the next readiness or timer, at most timeout_s, and dispatches it."""
        alone = self._is_nested and not self._is_dispatched
        self._is_dispatched = False
        self._runs_alone += alone
        try:
            self._run_once(timeout_s)
        finally:
            self._runs_alone -= alone

    def _run_once(self, timeout_s: float | None) -> None:
        if self._timers:
            until_timer_s = max(0.0, self._timers[0].deadline_s - time.monotonic())
            timeout_s = until_timer_s if timeout_s is None else min(timeout_s, until_timer_s)
        if self._inner is not None and self._inner.next_deadline_s is not None:
            until_timer_s = max(0.0, self._inner.next_deadline_s - time.monotonic())
            timeout_s = until_timer_s if timeout_s is None else min(timeout_s, until_timer_s)
        due = [(fd, self._watched[fd], events) for fd, events in self._epoll.poll(timeout_s)]
        self._round += 1
        this_round = self._round
        for fd, callback, events in due:
            # A callback that waited has run this loop meanwhile: what was ready may have been dealt with, and
            # what still is comes again.
            if self._round != this_round:
                break
            # An earlier callback of the round may have unwatched it; the number may be another file's now.
            if self._watched.get(fd) is callback:
                callback(events)
        if self._inner is not None:
            self._inner._is_dispatched = True
            self._inner.run_once(0)
        now_s = time.monotonic()
        while self._timers and self._timers[0].deadline_s <= now_s:
            self._timers.pop(0).callback()

    @property
    def somebody_waits(self) -> bool:
        """Whether this loop, nested in another, is run alone just now, by who waits for something."""
        return self._runs_alone > 0

    @property
    def next_deadline_s(self) -> float | None:
        """When the next timer is due (monotonic), or None."""
        return self._timers[0].deadline_s if self._timers else None

    def nest(self, inner: EventLoop) -> None:
        """Dispatches inner's readiness and timers too, from now on.

        Whoever must wait on this thread for something that inner brings runs inner alone meanwhile.
        """
        self._inner = inner
        inner._is_nested = True
        self.watch(inner.fileno(), READABLE, lambda _events: None)  # run_once() looks at it in any case

    def fileno(self) -> int:
        """A descriptor that is readable while something is ready."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Releases the loop's own descriptors."""
        self._epoll.close()
        os.close(self._wake_fd)

    def _run_calls(self, _events: int) -> None:
        os.eventfd_read(self._wake_fd)
        for _ in range(len(self._calls)):  # those that come meanwhile wake the loop again
            with self._calls_lock:
                if not self._calls:  # one of them has waited, and had the others run
                    return
                call = self._calls.pop(0)
            call()
