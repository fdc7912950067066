"""QMP as the soak speaks it: each answer within a deadline, events kept apart from answers."""

from __future__ import annotations

import json
import socket
import time
from typing import Any


class QmpError(Exception):
    """QMP doesn't do what it must."""


class QmpClient:
    """A client that has negotiated.

    Attributes:
        events: What came between the answers, the oldest first; whoever reads takes them.
        slowest_s: The longest that an answer took.
    """

    def __init__(self, path: str, deadline_s: float) -> None:
        """Connects, trying again until somebody listens.

        Raises:
            QmpError: Nobody does within the deadline.
        """
        self.events: list[dict[str, Any]] = []
        self.slowest_s = 0.0
        self._deadline_s = deadline_s
        self._input = b""
        self._socket = _connected(path, deadline_s)
        if "QMP" not in self._receive(time.monotonic() + deadline_s):
            raise QmpError("no greeting")
        self.ask("qmp_capabilities")

    def answer(self, command: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer to a command: with "return" or "error".

        Raises:
            QmpError: There is none within the deadline.
        """
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        began = time.monotonic()
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpError(f"{command}: {error}") from error
        while True:
            message = self._receive(began + self._deadline_s)
            if "event" not in message:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                return message
            self.events.append(message)

    def ask(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """What a command returns.

        Raises:
            QmpError: It returns nothing.
        """
        answer = self.answer(command, arguments)
        if "return" not in answer:
            raise QmpError(f"{command} {arguments or ''}: {answer.get('error', answer)}")
        return answer["return"]

    def wait_for_event(self, name: str, **data: Any) -> dict[str, Any]:
        """The data of an event with such a name and data; it stays among the events.

        Raises:
            QmpError: It doesn't come within the deadline.
        """
        expires = time.monotonic() + self._deadline_s
        seen = 0
        while True:
            while seen < len(self.events):
                event = self.events[seen]
                told: dict[str, Any] = event.get("data", {})
                if event["event"] == name and all(told.get(key) == value for key, value in data.items()):
                    return told
                seen += 1
            self.events.append(self._receive(expires, f"{name} {data}"))

    def _receive(self, expires: float, what: str = "an answer") -> dict[str, Any]:
        while b"\n" not in self._input:
            self._socket.settimeout(max(0.001, expires - time.monotonic()))
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                raise QmpError(f"QMP: {what} didn't come within {self._deadline_s:.0f} s") from None
            except OSError as error:
                raise QmpError(f"QMP: {what}: {error}") from error
            if not data:
                raise QmpError(f"QMP hung up instead of {what}")
            self._input += data
        line, self._input = self._input.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """Goes."""
        self._socket.close()


def send_garbage(path: str, kind: str, deadline_s: float) -> None:
    """What no client should send, on a socket of its own.

    Raises:
        QmpError: Nobody takes it.
    """
    garbage = {
        "bytes": bytes(range(256)) * 16,
        "half": b'{"execute": "query-sta',
        "unknown": b'{"execute": "make-coffee", "arguments": {"sugar": [[[[1e400]]]]}}\n' * 50,
        "hang-up": b"",
        "long": b'{"execute": "' + b"q" * (1 << 20),
        "flood": b'{"execute": "qmp_capabilities"}\n' + b'{"execute": "query-commands"}\n' * 300,
    }[kind]
    client = _connected(path, deadline_s)
    client.settimeout(deadline_s)
    try:
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        while client.recv(1 << 16):
            pass  # until it has hung up: it must
    except TimeoutError:
        raise QmpError(f"QMP neither takes {kind} nor hangs up") from None
    except OSError:
        pass  # it has hung up
    finally:
        client.close()


def _connected(path: str, deadline_s: float) -> socket.socket:
    expires = time.monotonic() + deadline_s
    while True:
        client = socket.socket(socket.AF_UNIX)
        if client.connect_ex(path) == 0:
            return client
        client.close()
        if time.monotonic() > expires:
            raise QmpError(f"nobody listens at {path}")
