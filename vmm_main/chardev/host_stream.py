"""A byte stream to the host: reads only what there is room for, writes only what is taken, never blocks.

Descriptors that others share (standard input and output) keep their flags: setting O_NONBLOCK on one would
set it for the caller's shell too. A terminal or a pipe is opened once more instead.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import stat
import time

from vmm_main.event_loop import READABLE, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm_main.event_loop import EventLoop

_READ_BYTES = 16384
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO, errno.ENXIO, errno.EBADF)
# A pipe that polls writable takes this much without blocking (pipe(7): PIPE_BUF).
_PIPE_BUF = 4096


class InputStream:
    """Reads fd on the event loop, in pieces that the receiver has room for."""

    __slots__ = (
        "_closed",
        "_loop",
        "_on_data",
        "_on_end",
        "_polled",
        "_room",
        "_scheduled",
        "_watching",
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
    ) -> None:
        """The descriptor stays the caller's; want() starts. on_end is called once, when no more can come."""
        self.fd = fd
        self._loop = loop
        self._room = room
        self._on_data = on_data
        self._on_end = on_end
        self._watching = False
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
        elif not self._watching:
            self._loop.watch(self.fd, READABLE, self._on_readable)
            self._watching = True

    def stop(self) -> None:
        """Reads no more until want()."""
        if self._watching:
            self._loop.unwatch(self.fd)
            self._watching = False

    def close(self) -> None:
        """Reads no more at all; to be called before fd is closed."""
        self.stop()
        self._closed = True

    def _read_unpolled(self) -> None:
        self._scheduled = False
        if not self._closed and self._read():
            self.want()

    def _on_readable(self, _events: int) -> None:
        self._read()

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

    __slots__ = ("_fd", "_limit", "_loop", "_on_room", "_poll_first", "_socket", "_watching", "gone")

    def __init__(
        self, loop: EventLoop, fd: int, *, shared: bool = False, on_room: Callable[[], None]
    ) -> None:
        """Opens or duplicates fd, which stays the caller's.

        Args:
            loop: Where on_room is called.
            fd: What to write to; non-blocking unless shared.
            shared: Whether other processes have the descriptor too, so that its flags must stay as they are.
            on_room: Called once bytes are taken again, after a write() took less than all.
        """
        self._loop = loop
        self._on_room = on_room
        self._watching = False
        self._poll_first = False
        self._limit = 1 << 30
        self._socket: _socket.socket | None = None
        self.gone = False  # the reader has left; everything is discarded
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            self._fd = os.dup(fd)
            self._socket = _socket.socket(fileno=os.dup(fd))
        elif shared and (stat.S_ISFIFO(mode) or os.isatty(fd)):
            self._fd = self._reopen(fd)
        else:
            self._fd = os.dup(fd)  # non-blocking, or a regular file or /dev/null: nobody to wait for

    def _reopen(self, fd: int) -> int:
        try:
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError:
            # Not ours to open (another user's pipe, no /proc): ask before each write, and write little.
            self._poll_first = True
            self._limit = _PIPE_BUF
            return os.dup(fd)

    def write(self, data: bytes) -> int:
        """Returns how many bytes were taken: all, if the reader is gone."""
        if self.gone:
            return len(data)
        taken = 0
        while taken < len(data):
            sent = self._write_once(data[taken : taken + self._limit])
            if sent == 0:
                break
            taken += sent
        if taken < len(data) and not self._watching and not self.gone:
            self._loop.watch(self._fd, WRITABLE, self._on_writable)
            self._watching = True
        return len(data) if self.gone else taken

    def flush(self, data: bytes, deadline_s: float) -> int:
        """Writes data, waiting for the reader until deadline_s (monotonic); returns how much was taken."""
        taken = 0
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while taken < len(data) and not self.gone:
            sent = self._write_once(data[taken : taken + self._limit])
            taken += sent
            if sent == 0 and not self.gone:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not poll.poll(left_s * 1000):
                    break
        return taken

    def close(self) -> None:
        """Closes the stream's own descriptors."""
        self._stop_watching()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._socket is not None:
            self._socket.close()

    def _write_once(self, data: bytes) -> int:
        """Returns how many bytes were taken; 0 if the reader is slow or (then gone is set) has left."""
        try:
            if self._socket is not None:
                return self._socket.send(data, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
            if self._poll_first:
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                if not poll.poll(0):
                    return 0
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno not in _GONE and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            self.gone = True
            return 0

    def _on_writable(self, _events: int) -> None:
        self._stop_watching()
        self._on_room()

    def _stop_watching(self) -> None:
        if self._watching:
            self._loop.unwatch(self._fd)
            self._watching = False


def _can_be_polled(fd: int) -> bool:
    with select.epoll() as epoll:
        try:
            epoll.register(fd, 0)
        except PermissionError:
            return False
        return True
