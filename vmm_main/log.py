"""The log: one line an entry, with time (UTC), pid, level and module.

Written without the logging package, which costs eleven milliseconds of every start (docs/decisions/).
"""

from __future__ import annotations

import posix as os
import select
import time

from vmm_main.errors import ConfigurationError

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
_LEVEL_NAMES = {DEBUG: "DEBUG", INFO: "INFO", WARNING: "WARNING", ERROR: "ERROR"}
_STDERR = 2
# A pipe that polls writable takes this much without blocking (pipe(7): PIPE_BUF).
_PIPE_BUF = 4096
_WAITING_MAX = 100


class _Sink:
    """Where entries go, and from which level on. A reader that is slow or gone loses entries."""

    __slots__ = ("fd", "lost_entries", "minimum_level", "waiting")

    def __init__(self) -> None:
        self.fd = _STDERR
        self.minimum_level = WARNING
        self.lost_entries = 0
        self.waiting: list[bytes] | None = None  # entries for standard error, until it is known what for

    def write(self, line: bytes) -> None:
        """Writes a line, or counts it as lost, but never waits: the guest must not suffer for the log."""
        if self.waiting is not None and self.fd == _STDERR:
            if len(self.waiting) < _WAITING_MAX:
                self.waiting.append(line)
            else:
                self.lost_entries += 1
            return
        if self.lost_entries:
            line = b"(%d log entries were lost here)\n%b" % (self.lost_entries, line)
        try:
            if self.fd == _STDERR:
                # Others share it, so it may block: no more than surely fits.
                poll = select.poll()
                poll.register(_STDERR, select.POLLOUT)
                if not poll.poll(0):
                    self.lost_entries += 1
                    return
                line = line if len(line) <= _PIPE_BUF else line[: _PIPE_BUF - 1] + b"\n"
            os.write(self.fd, line)
            self.lost_entries = 0
        except OSError:
            # The log's reader is gone or its disk is full. There is nowhere left to say so.
            self.lost_entries += 1


_sink = _Sink()


def open_log_file(path: str) -> None:
    """Sends all entries from INFO on to the file at path, which is made or appended to.

    Raises:
        ConfigurationError: the file can't be opened for writing.
    """
    try:
        # O_NONBLOCK: a named pipe without reader is an error, and one with a slow reader never holds us up.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"-D {path}: can't open the log file: {error.strerror}; allowed is one that can be written"
        ) from error
    _sink.fd = fd
    _sink.minimum_level = INFO


def log_everything_to_stderr() -> None:
    """What -D without a value asks for: all entries from INFO on go to standard error."""
    _sink.minimum_level = INFO


def hold_back() -> None:
    """The start begins: what it writes to standard error waits, for one that fails says one line there.

    An entry for -D's file doesn't wait, nor does any that -D without a value asks for.
    """
    if _sink.minimum_level == WARNING:
        _sink.waiting = []


def forget_held_back() -> None:
    """The start has failed, and says its line."""
    _sink.waiting = None
    _sink.lost_entries = 0


def write_held_back() -> None:
    """Writes what has waited; from then on nothing waits."""
    waiting, _sink.waiting = _sink.waiting, None
    for line in waiting or ():
        _sink.write(line)


def log_fd() -> int:
    """The descriptor that entries are written to."""
    return _sink.fd


class Logger:
    """Writes the entries of one module."""

    __slots__ = ("_module", "_once")

    def __init__(self, module: str) -> None:
        self._module = module
        self._once: set[str] = set()

    def debug(self, message: str) -> None:
        """For developers: dropped unless the level says otherwise."""
        self._write(DEBUG, message)

    def info(self, message: str) -> None:
        """What happened, in the ordinary course of things."""
        self._write(INFO, message)

    def warning(self, message: str) -> None:
        """Something the operator should know; the VM runs on as asked."""
        self._write(WARNING, message)

    def warning_once(self, message: str) -> None:
        """A warning that is written the first time only, however often the guest provokes it."""
        if message not in self._once:
            self._once.add(message)
            self._write(WARNING, message)

    def tell_user(self, message: str) -> None:
        """What whoever started Bulkhead should know at once: a line on standard error, and in the log."""
        self._write(INFO, message)
        try:
            os.write(_STDERR, f"bulkhead: {message}\n".encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._write(WARNING, f"standard error can't be told: {error.strerror}: {message}")

    def error(self, message: str) -> None:
        """Something failed."""
        self._write(ERROR, message)

    def _write(self, level: int, message: str) -> None:
        if level < _sink.minimum_level:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        # One line, whatever a guest or a client has put into it, and nothing that a terminal would obey.
        text = message if message.isprintable() else "".join(map(_printable, message))
        line = (
            f"{stamp}.{int(now % 1 * 1e6):06d}Z {os.getpid()} {_LEVEL_NAMES[level]} {self._module}: {text}\n"
        )
        _sink.write(line.encode("utf-8", "backslashreplace"))


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
