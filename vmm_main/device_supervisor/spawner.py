"""The spawner, which execs fresh zygotes for main: its start, its requests and its answers."""

from __future__ import annotations

import _socket
import errno
import posix as os
import sys

from ipc.channel import ChannelFullError, PeerGoneError
from vmm_main.errors import HostError
from vmm_main.kvm._kvm import ffi, lib

_INT_BYTES = 4
_NAME = b"bulkhead-spawner"


class Spawner:
    """A process that main starts before it opens anything, and its socket.

    request_zygote() never waits. Its answer, the zygote's pid, comes later: poll fileno(), then
    receive_pid(). Answers come in the order of the requests. The spawner and the zygotes are children of
    the thread that makes this object, and are killed when that thread ends.

    Attributes:
        pid: Its process.
        first_zygote: The socket of the zygote that the launcher has asked for, if it has.
        end: What its end is told as, to be changed by who ends it.
    """

    __slots__ = ("_socket", "end", "first_zygote", "pid")

    def __init__(self, *, own_uids: bool, seccomp: bool, zygote_options: tuple[str, ...] = ()) -> None:
        """Starts the process.

        Args:
            own_uids: Whether every device is to have a uid of its own (uid_lease.py).
            seccomp: Whether zygotes get a filter; False is -disable-seccomp.
            zygote_options: More options of the zygote's Python; for tests.

        Raises:
            HostError: The `bulkhead` program isn't there, or the host can't start it.
        """
        self.first_zygote: int | None = None
        self.end = "the spawner is gone"
        if not zygote_options and self._adopt_early(own_uids=own_uids, seccomp=seccomp):
            return
        from os import fsencode

        code, path = module_path()
        command = [
            _NAME,
            b"%d" % os.getpid(),
            fsencode(sys.executable),
            *(b"-I", b"-S", b"-E", b"-X", b"bulkhead_path=" + fsencode(path)),
            *map(fsencode, zygote_options),
            fsencode(f"{code}/device_procs/zygote/__main__.py"),
            b"%d" % os.getpid(),
            b"own-uids" if own_uids else b"one-uid",
            b"seccomp" if seccomp else b"no-seccomp",
        ]
        words = [ffi.new("char[]", word) for word in command]
        socket_fd = ffi.new("int *")
        program = _launcher()
        self.pid: int = lib.spawner_start(fsencode(program), [*words, ffi.NULL], socket_fd)
        if self.pid < 0:
            raise HostError(f"can't start {program} as the spawner: {os.strerror(-self.pid)}")
        self._socket = _socket.socket(fileno=socket_fd[0])

    def _adopt_early(self, *, own_uids: bool, seccomp: bool) -> bool:
        """Takes over what the launcher has started for us, if it is what is wanted (early_spawner.c)."""
        early = sys._xoptions.pop("bulkhead_spawner", None)
        if early is None:
            return False
        pid, socket_fd, zygote_fd, whose, filters = str(early).split(":")
        wanted = ("own-uids" if own_uids else "one-uid", "seccomp" if seccomp else "no-seccomp")
        for fd in (int(socket_fd), int(zygote_fd)):
            os.set_inheritable(fd, False)
        if (whose, filters) != wanted:  # an option's value looked like an option to it
            os.close(int(socket_fd))
            os.close(int(zygote_fd))
            return False
        self.pid = int(pid)
        self._socket = _socket.socket(fileno=int(socket_fd))
        self.first_zygote = int(zygote_fd)
        return True

    def fileno(self) -> int:
        """The descriptor to poll for answers and for the spawner's end; -1 once closed."""
        return self._socket.fileno()

    def request_zygote(self, socket_fd: int) -> None:
        """Has a zygote made, with a copy of socket_fd (SOCK_SEQPACKET) as its control socket.

        Raises:
            PeerGoneError: The spawner is dead.
            ChannelFullError: It doesn't take its requests.
        """
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, socket_fd.to_bytes(_INT_BYTES, sys.byteorder))]
        try:
            self._socket.sendmsg([b"z"], rights, _socket.MSG_NOSIGNAL)
        except BlockingIOError as error:
            raise ChannelFullError("the spawner doesn't take its requests") from error
        except OSError as error:
            raise PeerGoneError(
                f"{self.end}, and no new zygote can be made: that takes another start of the VM"
            ) from error

    def receive_pid(self) -> int | None:
        """The pid of the next zygote that was asked for, or None if there is no answer yet.

        A zygote whose exec failed has a pid too, and ends with status 127.

        Raises:
            PeerGoneError: The spawner is dead.
            HostError: The host can't make another process.
        """
        try:
            answer = self._socket.recv(_INT_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno != errno.ECONNRESET:
                raise
            answer = b""
        if len(answer) != _INT_BYTES:
            raise PeerGoneError(self.end)
        pid = int.from_bytes(answer, sys.byteorder, signed=True)
        if pid < 0:
            raise HostError(f"the spawner can't make a zygote: {os.strerror(-pid)}")
        return pid

    def close(self) -> None:
        """Ends the spawner by the end of its socket; its exit status is still to be waited for."""
        self._socket.close()


def _launcher() -> str:
    """The compiled `bulkhead` program: the one that started us, or the one beside this Python."""
    given = sys._xoptions.get("bulkhead_launcher")
    return str(given) if given is not None else f"{sys.executable.rpartition('/')[0]}/bulkhead"


def module_path() -> tuple[str, str]:
    """The folder of our own packages, and all folders that a zygote imports from."""
    given = sys._xoptions.get("bulkhead_path")
    if given is not None:
        return str(given).partition(":")[0], str(given)
    from os.path import abspath, dirname

    import _cffi_backend
    import msgpack

    code = dirname(dirname(dirname(abspath(__file__))))
    backend = dirname(_cffi_backend.__file__)
    folders = dict.fromkeys((code, backend, dirname(dirname(msgpack.__file__))))
    return code, ":".join(folders)
