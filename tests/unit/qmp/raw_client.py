"""A client that sends whatever bytes a test wants, which the official one would never do."""

from __future__ import annotations

import json
import socket
from typing import Any

_DEADLINE_S = 60.0


class RawClient:
    """A connected socket, and the lines that come from it."""

    def __init__(self, path: str, *, greet: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._input = b""
        try:
            self.socket.connect(path)
            self.socket.settimeout(_DEADLINE_S)
            self.greeting: Any = self.receive() if greet else None
        except BaseException:
            self.socket.close()  # nobody else can: it would be told in the middle of another test
            raise

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_until_hung_up(self, data: bytes, times: int) -> int:
        """Sends data again and again and returns how many times went out before the server hung up."""
        for sent in range(times):
            try:
                self.socket.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                return sent
        return times

    def receive_line(self) -> bytes | None:
        """The next line with its end, or None once the server has hung up."""
        while b"\n" not in self._input:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                assert not self._input, f"the server hung up amid a line: {self._input!r}"
                return None
            self._input += data
        line, self._input = self._input.split(b"\n", 1)
        return line + b"\n"

    def receive(self) -> Any:
        """The next message; None once the server has hung up."""
        line = self.receive_line()
        return None if line is None else json.loads(line)

    def execute(self, name: str, /, **arguments: Any) -> Any:
        """Sends a command and returns the next message."""
        request = {"execute": name} | ({"arguments": arguments} if arguments else {})
        self.send(json.dumps(request).encode() + b"\n")
        return self.receive()

    def negotiate(self) -> None:
        assert self.execute("qmp_capabilities") == {"return": {}}

    def close(self) -> None:
        self.socket.close()
