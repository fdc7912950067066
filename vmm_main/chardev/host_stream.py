"""A byte stream to the host: reads only what there is room for, writes only what is taken, never blocks.

Descriptors that others share (standard input and output) keep their flags: setting O_NONBLOCK on one would
set it for the caller's shell too. A terminal or a pipe is opened once more instead.
"""

from __future__ import annotations

import _stat as stat  # its C half, all that is needed here
import errno
import posix as os
import select
import time

from vmm_main.event_loop import HANG_UP, READABLE, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from vmm_main.event_loop import EventLoop

_READ_BYTES = 16384
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO, errno.ENXIO)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A pipe that polls writable takes this much without blocking (pipe(7): PIPE_BUF).
_PIPE_BUF = 4096
_SEND_FLAGS = 0x40 | 0x4000  # <sys/socket.h>: MSG_DONTWAIT | MSG_NOSIGNAL


class InputStream:
    """Reads fd on the event loop, in pieces that the receiver has room for."""

    __slots__ = (
        "_closed",
        "_hung_up",
        "_loop",
        "_on_data",
        "_on_end",
        "_on_hang_up",
        "_polled",
        "_room",
        "_scheduled",
        "_watched_events",
        "fd",
    )

    def __init__(
        self,
        loop: EventLoop,
        fd: int,
        *,
        room: Callable[[], int],
        on_data: Callable[[bytes], None],
        on_end: Callable[[], None],
        on_hang_up: Callable[[], None] | None = None,
    ) -> None:
        """The descriptor stays the caller's; want() starts.

        on_end is called once, when nothing more can come. on_hang_up is called at most once, before that: the
        other end has left, but what it sent last must wait for room.
        """
        self.fd = fd
        self._loop = loop
        self._room = room
        self._on_data = on_data
        self._on_end = on_end
        self._on_hang_up = on_hang_up
        self._hung_up = False
        self._watched_events: int | None = None  # None: not watched; 0: for a hang-up only
        self._closed = False
        self._scheduled = False
        # epoll refuses what never makes anyone wait: regular files and /dev/null.
        mode = os.fstat(fd).st_mode
        self._polled = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd) or _can_be_polled(fd)

    def want(self) -> None:
        """There is room: read on."""
        if self._closed:
            return
        if not self._polled:
            if not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._read_unpolled)
        else:
            self._watch_for(READABLE)

    def stop(self) -> None:
        """Reads no more until want(), and only listens for a hang-up."""
        self._watch_for(None if self._on_hang_up is None or self._hung_up else 0)

    def close(self) -> None:
        """Reads no more at all; to be called before fd is closed."""
        self._watch_for(None)
        self._closed = True

    def drain(self) -> None:
        """Reads all there is room for at once: the last words of somebody who has left."""
        while not self._closed and self._read():
            pass

    def _watch_for(self, events: int | None) -> None:
        before, self._watched_events = self._watched_events, events
        if events == before or not self._polled:
            return
        if before is None:
            assert events is not None
            self._loop.watch(self.fd, events, self._on_ready)
        elif events is None:
            self._loop.unwatch(self.fd)
        else:
            self._loop.rewatch(self.fd, events)

    def _read_unpolled(self) -> None:
        self._scheduled = False
        if not self._closed and self._read():
            self.want()

    def _on_ready(self, events: int) -> None:
        if self._watched_events != 0:
            self._read()
        elif events & HANG_UP:
            self._hung_up = True  # and would be reported again and again
            self._watch_for(None)
            assert self._on_hang_up is not None
            self._on_hang_up()

    def _read(self) -> bool:
        """Reads once. False if there is no point in trying again now."""
        room = self._room()
        if room <= 0:
            self.stop()
            return False
        try:
            data = os.read(self.fd, min(room, _READ_BYTES))
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _GONE:
                raise
            data = b""
        if data:
            self._on_data(data)
            return True
        self.close()
        self._on_end()
        return False


class OutputStream:
    """Writes to a descriptor of its own; says when it takes bytes again."""

    __slots__ = (
        "_fd",
        "_limit",
        "_loop",
        "_on_drop",
        "_on_room",
        "_poll_first",
        "_socket",
        "_watching",
        "gone",
    )

    def __init__(
        self,
        loop: EventLoop,
        fd: int,
        *,
        shared: bool = False,
        on_room: Callable[[], None],
        on_drop: Callable[[int, str], None],
    ) -> None:
        """Opens or duplicates fd, which stays the caller's.

        Args:
            loop: Where on_room is called.
            fd: What to write to; non-blocking unless shared.
            shared: Whether other processes have the descriptor too, so that its flags must stay as they are.
            on_room: Called once bytes are taken again, after a write() took less than all.
            on_drop: Called with how many bytes nobody will ever take, and why.

        Raises:
            OSError: The process has no descriptor left.
        """
        self._loop = loop
        self._on_room = on_room
        self._on_drop = on_drop
        self._watching = False
        self._poll_first = False
        self._limit = 1 << 30
        self._socket: _socket.socket | None = None
        self.gone = False  # the reader has left; everything is dropped
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            import _socket

            self._socket = _socket.socket(fileno=os.dup(fd))
            self._fd = self._socket.fileno()
        elif shared and (stat.S_ISFIFO(mode) or os.isatty(fd)):
            again = open_again(fd, os.O_WRONLY)
            if again is None:
                # Not ours to open (another user's): ask before each write, and write what surely fits.
                self._poll_first = True
                self._limit = _PIPE_BUF if stat.S_ISFIFO(mode) else 1
                again = os.dup(fd)
            self._fd = again
        else:
            self._fd = os.dup(fd)  # non-blocking, or a regular file or /dev/null: nobody to wait for

    @property
    def open_fds(self) -> list[int]:
        """The stream's own descriptor."""
        return [] if self._fd < 0 else [self._fd]

    def write(self, data: bytes) -> int:
        """Returns how many bytes are done with: taken, or dropped because nobody will ever take them."""
        done = 0
        while done < len(data) and not self.gone:
            length = self._write_once(data[done : done + self._limit])
            if length == 0:
                break
            done += length
        if self.gone and done < len(data):
            self._on_drop(len(data) - done, "the reader has left")
            done = len(data)
        elif done < len(data) and not self._watching:
            self._loop.watch(self._fd, WRITABLE, self._on_writable)
            self._watching = True
        return done

    def flush(self, data: bytes, deadline_s: float) -> int:
        """Writes data, waiting for the reader until deadline_s (monotonic); returns how much was taken."""
        taken = 0
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while taken < len(data) and not self.gone:
            length = self._write_once(data[taken : taken + self._limit])
            taken += length
            if length == 0 and not self.gone:
                ready = poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000)
                if not ready or any(events & (select.POLLHUP | select.POLLERR) for _, events in ready):
                    break
        return taken

    def close(self) -> None:
        """Closes the stream's own descriptor."""
        self._stop_watching()
        if self._socket is not None:
            self._socket.close()
        elif self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _write_once(self, data: bytes) -> int:
        """Returns how many bytes are done with; 0 if the reader is slow or (then gone is set) has left."""
        try:
            if self._socket is not None:
                return self._socket.send(data, _SEND_FLAGS)
            if self._poll_first:
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                if not poll.poll(0):
                    return 0
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno in _GONE:
                self.gone = True
                return 0
            if error.errno not in _FULL:
                raise
            # A full disk may have room again later.
            self._on_drop(len(data), f"can't write: {error.strerror}")
            return len(data)

    def _on_writable(self, _events: int) -> None:
        self._stop_watching()
        self._on_room()

    def _stop_watching(self) -> None:
        if self._watching:
            self._loop.unwatch(self._fd)
            self._watching = False


def open_again(fd: int, access: int) -> int | None:
    """Opens the pipe or terminal behind fd once more, non-blocking: the flags of fd itself are others' too.

    Returns:
        The new descriptor, or None where that isn't allowed (another user's file, a pipe without reader).
    """
    try:
        return os.open(f"/proc/self/fd/{fd}", access | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None


def _can_be_polled(fd: int) -> bool:
    with select.epoll() as epoll:
        try:
            epoll.register(fd, 0)
        except PermissionError:
            return False
        return True
