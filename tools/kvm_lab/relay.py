"""Moves bytes between descriptors without ever blocking on a slow or gone reader, so that deadlines hold."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence

# A pipe that polls writable takes PIPE_BUF bytes without blocking (pipe(7)).
CHUNK_BYTES = 4096


class Pump:
    """Moves bytes from one descriptor to another, one chunk at a time.

    Attributes:
        ended: Nothing more will come from the source.
        reader_gone: The destination was closed by who reads it; what comes is thrown away.
    """

    def __init__(
        self,
        source: int,
        destination: int | None,
        *,
        seen: Callable[[bytes], None] | None = None,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        """Makes a pump; descriptors stay the caller's.

        Args:
            source: Read from here.
            destination: Written to; None throws everything away.
            seen: Called with each chunk.
            at_end: Called once, when the source has ended and all of it was written.
        """
        self.source = source
        self.destination = destination
        self.ended = False
        self.reader_gone = False
        self._pending = b""
        self._seen = seen
        self._at_end = at_end

    def wanted(self) -> tuple[int, int] | None:
        """The descriptor and poll events that this pump waits for; None when it is done."""
        if self._pending and self.destination is not None:
            return self.destination, select.POLLOUT
        return None if self.ended else (self.source, select.POLLIN)

    def move(self) -> None:
        """Does what wanted() waited for."""
        if self._pending:
            self._write()
        else:
            self._read()

    def _read(self) -> None:
        try:
            chunk = os.read(self.source, CHUNK_BYTES)
        except ConnectionResetError:  # a socket whose other side ended with unread input
            chunk = b""
        if not chunk:
            self._end()
            return
        if self._seen is not None:
            self._seen(chunk)
        if self.destination is not None and not self.reader_gone:
            self._pending = chunk

    def _write(self) -> None:
        if self.destination is None:
            raise AssertionError("a pump without destination has nothing to write")
        try:
            written = os.write(self.destination, self._pending)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self.reader_gone = True
            written = len(self._pending)
        self._pending = self._pending[written:]

    def _end(self) -> None:
        self.ended = True
        if self._at_end is not None:
            self._at_end()


def poll_once(pumps: Sequence[Pump], others: Sequence[int], timeout_s: float) -> set[int]:
    """Waits until a pump can move or another descriptor is readable, and moves the pumps.

    Args:
        pumps: Moved when ready.
        others: Descriptors waited for, but not read.
        timeout_s: The longest wait.

    Returns:
        Which of `others` are readable.
    """
    # Events are gathered, since one descriptor may be in several pumps (output and error in one file).
    events: dict[int, int] = dict.fromkeys(others, select.POLLIN)
    waiting: list[tuple[Pump, int, int]] = []
    for pump in pumps:
        wanted = pump.wanted()
        if wanted is not None:
            descriptor, event = wanted
            waiting.append((pump, descriptor, event))
            events[descriptor] = events.get(descriptor, 0) | event
    poll = select.poll()
    for descriptor, mask in events.items():
        poll.register(descriptor, mask)
    ready = dict(poll.poll(max(0, timeout_s) * 1000))
    ended = select.POLLHUP | select.POLLERR
    for pump, descriptor, event in waiting:
        # Only what a pump waited for: reading a socket that is ready for writing would block.
        if ready.get(descriptor, 0) & (event | ended):
            pump.move()
    return set(ready).intersection(others)
