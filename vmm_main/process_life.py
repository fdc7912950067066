"""The main process among others: going to the background, the pid file, and signals."""

from __future__ import annotations

import faulthandler
import posix as os

from vmm_main import log
from vmm_main.errors import BulkheadError, ConfigurationError, HostError
from vmm_main.kvm._kvm import lib
from vmm_main.kvm.system import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable

    from vmm_main.event_loop import EventLoop
else:
    import _signal  # the same without enum, which costs milliseconds at every start

# A report is a message for the caller's terminal (empty: ready), and this.
_END_OF_REPORT = b"\0"
_SIGNALFD_SIGINFO_SIZE = 128  # struct signalfd_siginfo; its first field is the signal's number

_SIGNAL_NAMES: dict[int, str] = {
    _signal.SIGTERM: "SIGTERM",
    _signal.SIGINT: "SIGINT",
    _signal.SIGHUP: "SIGHUP",
}

_STDERR = 2
_log = log.Logger("start")


def open_standard_descriptors() -> None:
    """Opens /dev/null as whichever of 0, 1 and 2 the caller has closed.

    Otherwise the next file to be opened would get the number, and an error message would be written to it.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open("/dev/null", os.O_RDWR)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)


class EndedBySignalError(BulkheadError):
    """A signal came before the VM was there."""


class Daemon:
    """The child's side of -daemonize: the caller waits in the parent for report_ready() or _failure()."""

    __slots__ = ("_pipe",)

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    @classmethod
    def fork(cls) -> Daemon:
        """Returns in the child only. The parent says what the child reports, and exits with 0 or 1.

        Before any thread is made and any device opened; the child becomes the oldest process of its VM.
        """
        reading, writing = os.pipe()
        child = os.fork()
        if child:
            os.close(writing)
            # Ctrl-C at the waiting caller's terminal ends the caller; the child hears of it when it reports.
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
            os._exit(_wait_for_report(reading, child))
        os.close(reading)
        os.setsid()
        return cls(writing)

    def report_ready(self) -> None:
        """Lets the caller go, and lets go of its terminal: stdin, stdout and stderr become /dev/null.

        Raises:
            HostError: The caller hasn't waited: nobody would know of this VM.
        """
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(null)
        self._report(b"")

    def report_failure(self, message: str) -> None:
        """Has the caller print message and exit with 1. Nothing happens if it has gone already."""
        if self._pipe < 0:
            return
        try:
            self._report(message.encode("utf-8", "backslashreplace").replace(_END_OF_REPORT, b"\\0"))
        except HostError as error:
            _log.error(f"{message} ({error})")

    def _report(self, message: bytes) -> None:
        pipe, self._pipe = self._pipe, -1
        try:
            os.write(pipe, message + _END_OF_REPORT)
        except OSError as error:
            raise HostError(
                f"-daemonize: the caller has gone before the VM was ready: {error.strerror}"
            ) from error
        finally:
            os.close(pipe)


def _wait_for_report(pipe: int, child: int) -> int:
    """Reads what the child has to say; returns the caller's exit status."""
    report = b""
    # Not until end-of-file: who inherited the pipe may hold it open.
    while _END_OF_REPORT not in report and (chunk := os.read(pipe, 4096)):
        report += chunk
    if report == _END_OF_REPORT:
        return 0
    _, status = os.waitpid(child, 0)  # when the caller hears of the failure, nothing is left of it
    message = report.rstrip(_END_OF_REPORT)
    if not message:
        ended = (
            f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"
        )
        message = f"the daemon ended before it was ready, by {ended}".encode()
    os.write(_STDERR, b"bulkhead: " + message + b"\n")
    return 1


class PidFile:
    """-pidfile: made with our pid in it, removed at the end if it is still ours."""

    __slots__ = ("_identity", "_path")

    def __init__(self, path: str) -> None:
        """Makes the file.

        Raises:
            ConfigurationError: It exists, or can't be made.
        """
        from os.path import abspath

        self._path = abspath(path)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOCTTY, 0o644)
        except FileExistsError as error:
            raise ConfigurationError(f"-pidfile {path}: the file exists; it must not") from error
        except OSError as error:
            raise ConfigurationError(
                f"-pidfile {path}: can't make the file: {error.strerror}; "
                "allowed is a file that doesn't exist, in a directory that can be written"
            ) from error
        status = os.fstat(fd)
        self._identity = (status.st_dev, status.st_ino)
        try:
            os.write(fd, b"%d\n" % os.getpid())
        except OSError as error:
            self.remove()
            raise ConfigurationError(f"-pidfile {path}: can't write the file: {error.strerror}") from error
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Removes the file, unless someone has put another in its place."""
        from vmm_main.made_file import remove_made_file

        remove_made_file(self._path, self._identity)


class EndSignals:
    """SIGTERM, SIGINT and SIGHUP, taken from a descriptor on the event loop."""

    __slots__ = ("_fd", "_loop", "on_signal")

    def __init__(self, loop: EventLoop) -> None:
        """Blocks the signals in this thread and all that it makes from now on.

        Raises:
            HostError: The kernel refuses.
        """
        self._loop = loop
        self.on_signal: Callable[[], None] | None = None
        self._fd = check(lib.process_signals_open(), "can't take signals")
        loop.watch(self._fd, 1, self._on_readable)

    def close(self) -> None:
        """Closes the descriptor; the signals stay blocked."""
        self._loop.unwatch(self._fd)
        os.close(self._fd)

    def _on_readable(self, _events: int) -> None:
        number = int.from_bytes(os.read(self._fd, _SIGNALFD_SIGINFO_SIZE)[:4], "little")
        name = _SIGNAL_NAMES.get(number, str(number))
        _log.info(f"ended by {name}")
        if self.on_signal is None:
            raise EndedBySignalError(f"ended by {name} before the VM was started")
        self.on_signal()


def write_stacks_on_sigquit() -> None:
    """Makes SIGQUIT write every thread's Python stack to the log, even while the event loop hangs."""
    faulthandler.register(_signal.SIGQUIT, file=log.log_fd(), all_threads=True, chain=False)
