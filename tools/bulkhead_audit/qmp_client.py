"""A client of the VM's QMP socket: a few questions, each with a deadline."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

_CHUNK_BYTES = 1 << 16


class QmpError(Exception):
    """The VM can't be asked; the text says what was tried and why it failed."""


class UnknownCommandError(QmpError):
    """The VM doesn't know the command."""


class QmpClient:
    """One session."""

    def __init__(self, path: str, timeout_s: float) -> None:
        """Connects and negotiates.

        Args:
            path: The socket.
            timeout_s: How long an answer may take.

        Raises:
            QmpError: Nobody answers there, or something that isn't QMP.
        """
        self._path = path
        self._timeout_s = timeout_s
        self._input = b""
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise QmpError(f"{path}: can't connect: {error.strerror or error}") from error
        try:
            self._negotiate()
        except BaseException:
            self._socket.close()
            raise

    def _negotiate(self) -> None:
        greeting = self._receive(time.monotonic() + self._timeout_s, "no greeting")
        if "error" in greeting:
            raise QmpError(f"{self._path}: {greeting['error'].get('desc')}")
        if "QMP" not in greeting:
            raise QmpError(f"{self._path}: whoever listens there doesn't speak QMP")
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """What a command returns.

        Raises:
            UnknownCommandError: It doesn't know the command.
            QmpError: It answers with another error, or not in time.
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
                said = f"{self._path}: {command}: {message['error'].get('desc')}"
                known = message["error"].get("class") != "CommandNotFound"
                raise QmpError(said) if known else UnknownCommandError(said)

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
        while b"\n" not in self._input:
            try:
                self._socket.settimeout(max(0.001, until_s - time.monotonic()))
                data = self._socket.recv(_CHUNK_BYTES)
            except TimeoutError as error:
                raise _LateError(
                    f"{self._path}: {late} within {self._timeout_s:g} s; if it is a monitor that takes one "
                    "client at a time and has one, give the VM a further -qmp"
                ) from error
            except ConnectionResetError:
                data = b""
            except OSError as error:
                raise QmpError(f"{self._path}: {error.strerror or error}") from error
            if not data:
                raise QmpError(f"{self._path}: the VM has hung up")
            self._input += data
        line, self._input = self._input.split(b"\n", 1)
        try:
            message = json.loads(line)
        except ValueError as error:
            raise QmpError(f"{self._path}: whoever listens there doesn't speak QMP") from error
        if not isinstance(message, dict):
            raise QmpError(f"{self._path}: whoever listens there doesn't speak QMP")
        return message


class _LateError(QmpError):
    """It hasn't come in time."""
