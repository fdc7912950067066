"""A listening unix socket: made at a path by strict rules, or handed over by the caller as a descriptor.

QMP and socket chardevs share the rules. A path where something is alive, or that isn't a socket, is refused
and left alone. A socket that nobody listens on, left by a process that was killed, is replaced and the log
says so. The socket file is removed at the end only if it is still the one that this process made.
"""

from __future__ import annotations

import _socket
import errno
import os

from vmm_main.errors import ConfigurationError, HostError
from vmm_main.event_loop import READABLE
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm_main.event_loop import EventLoop, Timer

_log = Logger("chardev")

# sockaddr_un's sun_path holds 108 bytes, the final zero included (unix(7)).
_PATH_MAX_BYTES = 107
# A connect() that may not block fails at once when the backlog is full.
_BACKLOG = 128
# After accept() failed for want of descriptors or memory: the backlog stays readable, so don't spin on it.
_ACCEPT_RETRY_S = 1.0
_SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_S_IFMT, _S_IFSOCK = 0o170000, 0o140000  # stat.h; the module stat isn't needed for two numbers


class UnixListener:
    """A listening stream socket whose clients are handed to a callback, one _socket.socket each.

    path is None for a socket that the caller handed over: nothing is removed at its end.
    """

    __slots__ = ("_identity", "_loop", "_on_client", "_retry_timer", "_socket", "_watching", "path")

    def __init__(
        self, listening: _socket.socket, path: str | None = None, identity: tuple[int, int] | None = None
    ) -> None:
        self._socket = listening
        self.path = path
        self._identity = identity
        self._loop: EventLoop | None = None
        self._on_client: Callable[[_socket.socket], None] | None = None
        self._retry_timer: Timer | None = None
        self._watching = False

    def fileno(self) -> int:
        """The listening descriptor; -1 once closed."""
        return self._socket.fileno()

    def watch(self, loop: EventLoop, on_client: Callable[[_socket.socket], None]) -> None:
        """Calls on_client on the loop's thread with each new client's non-blocking socket."""
        self._loop = loop
        self._on_client = on_client
        self.resume()

    def pause(self) -> None:
        """Takes no more clients until resume(); they wait in the kernel's backlog."""
        if self._watching and self._loop is not None:
            self._loop.unwatch(self._socket.fileno())
            self._watching = False
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None

    def resume(self) -> None:
        """Takes clients again, after pause()."""
        if self._loop is not None and not self._watching:
            self._loop.watch(self._socket.fileno(), READABLE, self._on_readable)
            self._watching = True

    def accept(self) -> _socket.socket | None:
        """Returns one client's socket, made non-blocking, or None if none is waiting.

        Raises:
            OSError: accept() failed for another reason than a client that has left already.
        """
        try:
            fd, _address = self._socket._accept()  # type: ignore[attr-defined]  # accept() proper is in socket.py
        except (BlockingIOError, ConnectionAbortedError):
            return None
        client = _socket.socket(fileno=fd)
        client.setblocking(False)
        return client

    def close(self) -> None:
        """Stops listening, and removes the socket file if it is still the one made here."""
        if self._socket.fileno() < 0:
            return
        self.pause()
        self._loop = None
        self._socket.close()
        if self.path is not None and self._identity is not None:
            from vmm_main.made_file import remove_made_file

            remove_made_file(self.path, self._identity)

    def _on_readable(self, _events: int) -> None:
        assert self._on_client is not None
        assert self._loop is not None
        try:
            client = self.accept()
        except OSError as error:
            if error.errno not in _SHORT_OF:
                raise
            _log.warning(
                f"{self.path or 'listening socket'}: can't take a client: {error.strerror}; tried again"
            )
            self.pause()
            self._retry_timer = self._loop.call_later(_ACCEPT_RETRY_S, self.resume)
            return
        if client is not None:
            self._on_client(client)


def listen_at_path(named: str, path: str) -> UnixListener:
    """Makes a listening socket at path; its permissions follow the umask.

    Args:
        named: how the user asked for it ("-qmp unix:/run/vm.sock"), for errors and the log.
        path: where the socket file shall be.

    Raises:
        ConfigurationError: something that is alive or isn't a socket is there, or the path is impossible.
        HostError: the host refuses a socket altogether.
    """
    length_bytes = len(os.fsencode(path))
    if not 1 <= length_bytes <= _PATH_MAX_BYTES or "\0" in path:
        raise ConfigurationError(
            f"{named}: the path has {length_bytes} bytes; allowed are 1 to {_PATH_MAX_BYTES}, none is zero"
        )
    listening = _stream_socket(named)
    try:
        _bind(named, listening, path)
        identity = _identity_of(path)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"{named}: can't make the socket: {error.strerror}; "
            "allowed is a path that doesn't exist, in a directory that can be written"
        ) from error
    except ConfigurationError:
        listening.close()
        raise
    if identity is None or _identity_of(path) != identity:
        # Between bind() and listen() the socket looked stale, and another process took the path for itself.
        listening.close()
        raise ConfigurationError(f"{named}: another process took the path at the same moment")
    return UnixListener(listening, path, identity)


def adopt_listening_socket(named: str, fd: int) -> UnixListener:
    """Wraps a listening stream socket that the caller handed over, and owns it from now on.

    Raises:
        ConfigurationError: fd is not open, or not a listening stream socket.
    """
    wanted = "allowed is the number of an open descriptor that is a listening stream socket"
    try:
        listening = _socket.socket(fileno=fd)
    except OSError as error:
        raise ConfigurationError(f"{named}: {error.strerror}; {wanted}") from error
    try:
        is_stream = listening.getsockopt(_socket.SOL_SOCKET, _socket.SO_TYPE) == _socket.SOCK_STREAM
        is_listening = listening.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN) == 1
    except OSError as error:
        listening.detach()
        raise ConfigurationError(f"{named}: {error.strerror}; {wanted}") from error
    if not (is_stream and is_listening):
        listening.detach()
        raise ConfigurationError(f"{named}: the descriptor is another kind of socket; {wanted}")
    listening.setblocking(False)
    os.set_inheritable(fd, False)
    return UnixListener(listening)


def _stream_socket(named: str) -> _socket.socket:
    try:
        listening = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    except OSError as error:
        raise HostError(f"{named}: the host gives no unix socket: {error.strerror}") from error
    listening.setblocking(False)
    return listening


def _bind(named: str, listening: _socket.socket, path: str) -> None:
    """Binds to path; in the way may be a stale socket only."""
    try:
        listening.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    else:
        return
    _remove_stale_socket(named, path)
    try:
        listening.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise ConfigurationError(f"{named}: another process took the path at the same moment") from error
    _log.warning(f"{named}: replaced a stale socket that nobody listened on")


def _remove_stale_socket(named: str, path: str) -> None:
    """Removes the socket at path if nobody listens on it.

    Two processes may try this at once. So it is moved aside first, and looked at again under a name that
    nobody else uses: what came alive in between is put back.

    Raises:
        ConfigurationError: what is at path is alive, or no socket.
    """
    _refuse_unless_stale(named, path)
    aside = os.path.join(os.path.dirname(path), f".{os.urandom(4).hex()}")
    if len(os.fsencode(aside)) > _PATH_MAX_BYTES:
        raise ConfigurationError(
            f"{named}: a stale socket is there and the path is too long to replace it; remove it first"
        )
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return  # its owner removed it just now: the path is free, which is what was wanted
    try:
        _refuse_unless_stale(named, aside)
    except ConfigurationError:
        os.link(aside, path, follow_symlinks=False)
        os.unlink(aside)
        raise
    os.unlink(aside)


def _refuse_unless_stale(named: str, path: str) -> None:
    """Raises ConfigurationError unless path is free or a socket that nobody listens on."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if mode & _S_IFMT != _S_IFSOCK:
        raise ConfigurationError(
            f"{named}: it exists and is no socket; it is left alone. Allowed is a path that doesn't exist"
        )
    probe = _stream_socket(named)
    try:
        probe.connect(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return
    except OSError as error:
        # EAGAIN: a full backlog; EPROTOTYPE: a datagram socket; both are alive. EACCES: not ours to judge.
        if error.errno not in (errno.EAGAIN, errno.EPROTOTYPE):
            raise ConfigurationError(
                f"{named}: a socket is there, and whether it is in use can't be found out: {error.strerror}"
            ) from error
    finally:
        probe.close()
    raise ConfigurationError(
        f"{named}: another process listens there; it is left alone. Allowed is a path that doesn't exist"
    )


def _identity_of(path: str) -> tuple[int, int] | None:
    """Returns (device, inode) of the file at path, or None if there is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_ino)
