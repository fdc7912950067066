"""A client of the VM's QMP socket: a few questions, bounded in time and bytes whatever comes."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from typing import Any

LONGEST_LINE_BYTES = 4 << 20  # hundreds of times an answer of the largest VM
MOST_BYTES = 32 << 20  # in all, events too
_CHUNK_BYTES = 1 << 16
_WHOLE_BY_ANSWERS = 2
_SHOWN_CHARACTERS = 500


class QmpError(Exception):
    """The VM can't be asked; the text says what was tried and why it failed."""


class RefusedError(QmpError):
    """The VM has answered, with an error."""


class UnknownCommandError(QmpError):
    """The VM doesn't know the command."""


class QmpClient:
    """One session."""

    def __init__(self, path: str, timeout_s: float) -> None:
        """Connects and negotiates.

        Args:
            path: The socket.
            timeout_s: How long an answer may take; the session may last twice as long.

        Raises:
            QmpError: Nobody answers there, or something that isn't QMP.
        """
        self._path = path
        self._timeout_s = timeout_s
        self._ends_s = time.monotonic() + _WHOLE_BY_ANSWERS * timeout_s
        self._input = bytearray()
        self._searched = 0  # of the input: there is no end of a line before
        self._received = 0
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            why = f"can't connect: {error.strerror or error}" if _may_be_socket(path) else "it isn't a socket"
            raise QmpError(f"{path}: {why}") from error
        try:
            self._negotiate()
        except BaseException:
            self._socket.close()
            raise

    def _negotiate(self) -> None:
        greeting = self._receive(time.monotonic() + self._timeout_s, "no greeting")
        if isinstance(greeting.get("error"), dict):
            raise QmpError(f"{self._path}: {_text_of(greeting['error'])}")
        if "QMP" not in greeting:
            raise self._no_qmp()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """What a command returns.

        Raises:
            UnknownCommandError: It doesn't know the command.
            RefusedError: It answers with another error.
            QmpError: It doesn't answer, or not in time.
        """
        request = {"execute": command} | ({"arguments": arguments} if arguments else {})
        until_s = time.monotonic() + self._timeout_s
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError) as error:
            raise QmpError(f"{self._path}: the VM has hung up") from error
        except OSError as error:
            raise QmpError(f"{self._path}: can't send {command}: {error.strerror or error}") from error
        while True:
            message = self._receive(until_s, f"no answer to {command}")
            if "return" in message:
                return message["return"]
            if "error" in message:
                told = message["error"]
                said = f"{self._path}: {command}: {_text_of(told)}"
                known = not isinstance(told, dict) or told.get("class") != "CommandNotFound"
                raise RefusedError(said) if known else UnknownCommandError(said)

    def wait(self, longest_s: float) -> None:
        """Waits until the VM tells of something, at most longest_s.

        Raises:
            QmpError: It is gone.
        """
        try:
            self._receive(time.monotonic() + longest_s, "")
        except _LateError:
            return

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()

    def _receive(self, until_s: float, late: str) -> dict[str, Any]:
        """The next message; the time is looked at for each, since there may always be one."""
        while True:
            if time.monotonic() >= self._ends_s:
                whole_s = _WHOLE_BY_ANSWERS * self._timeout_s
                raise QmpError(f"{self._path}: the audit isn't done within {whole_s:g} s (twice --timeout)")
            if time.monotonic() >= until_s:
                raise self._late(late)
            end = self._input.find(b"\n", self._searched)
            if end >= 0:
                break
            self._searched = len(self._input)
            if self._searched > LONGEST_LINE_BYTES:
                raise self._too_much(f"a line of more than {LONGEST_LINE_BYTES >> 20} MiB")
            self._receive_more(min(until_s, self._ends_s), late)
        line = bytes(self._input[:end])
        del self._input[: end + 1]
        self._searched = 0
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._no_qmp() from error
        if not isinstance(message, dict):
            raise self._no_qmp()
        return message

    def _receive_more(self, until_s: float, late: str) -> None:
        try:
            self._socket.settimeout(max(0.001, until_s - time.monotonic()))
            data = self._socket.recv(_CHUNK_BYTES)
        except TimeoutError as error:
            raise self._late(late) from error
        except ConnectionResetError:
            data = b""
        except OSError as error:
            raise QmpError(f"{self._path}: {error.strerror or error}") from error
        if not data:
            raise QmpError(f"{self._path}: the VM has hung up")
        self._input += data
        self._received += len(data)
        if self._received > MOST_BYTES:
            raise self._too_much(f"more than {MOST_BYTES >> 20} MiB in all")

    def _too_much(self, what: str) -> QmpError:
        return QmpError(f"{self._path}: it has sent {what}: whoever listens there doesn't speak QMP")

    def _late(self, late: str) -> _LateError:
        return _LateError(
            f"{self._path}: {late} within {self._timeout_s:g} s; if it is a monitor that takes one "
            "client at a time and has one, give the VM a further -qmp"
        )

    def _no_qmp(self) -> QmpError:
        return QmpError(f"{self._path}: whoever listens there doesn't speak QMP")


class _LateError(QmpError):
    """It hasn't come in time."""


def _may_be_socket(path: str) -> bool:
    """Whether it is one, as far as can be seen: the kernel refuses other files as if nobody listened."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True


def _text_of(error: object) -> str:
    """What a message's error says, in short."""
    text = error.get("desc") if isinstance(error, dict) else None
    if not isinstance(text, str):
        return "an error without a text"
    return in_short(text)


def in_short(text: str) -> str:
    """What somebody else has said, for a line of ours."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
