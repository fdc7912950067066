"""What the soaking guest says on its serial port, kept up to date by a thread; clients come and go."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import defaultdict

_LINE = re.compile(r"([a-z-]+): 0x([0-9a-f]+)")


class SerialWatch:
    """The last value of each "name: value" that the guest has said, and all that its boots have found."""

    def __init__(self, path: str) -> None:
        """Doesn't connect yet."""
        self._path = path
        self._changed = threading.Condition()
        self._values: dict[str, int] = {}
        self._found: dict[str, list[int]] = defaultdict(list)
        self.boots = 0
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def connect(self, deadline_s: float) -> None:
        """Becomes the console's client.

        Raises:
            TimeoutError: Nobody listens there.
        """
        expires = time.monotonic() + deadline_s
        while True:
            client = socket.socket(socket.AF_UNIX)
            if client.connect_ex(self._path) == 0:
                break
            client.close()
            if time.monotonic() > expires:
                raise TimeoutError(f"nobody listens at {self._path}")
        self._socket = client
        self._thread = threading.Thread(target=self._read, args=(client,), daemon=True)
        self._thread.start()

    def disconnect(self) -> None:
        """Goes, amid a line or not."""
        if self._socket is not None and self._thread is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._socket.close()
        self._socket = self._thread = None

    def _read(self, client: socket.socket) -> None:
        # A client that comes amid a line sees its rest first.
        rest, is_whole = b"", False
        while data := client.recv(1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if is_whole:
                    self._take(line.decode("ascii", "replace"))
                is_whole = True

    def _take(self, line: str) -> None:
        # A reset cuts a line, and the next boot's first one follows at once.
        found = _LINE.fullmatch(line.strip())
        if found is None:
            return
        name, number = found[1], int(found[2], 16)
        with self._changed:
            if name == "booted":
                self.boots += 1
            elif name.startswith("found"):
                self._found[name].append(number)
            self._values[name] = number
            self._changed.notify_all()

    def value(self, name: str) -> int:
        """The last that was said, 0 if nothing was."""
        with self._changed:
            return self._values.get(name, 0)

    def take_found(self, name: str) -> list[int]:
        """What boots have found on a disk since this was asked last."""
        with self._changed:
            return self._found.pop(name, [])

    def wrong(self) -> dict[str, int]:
        """What the guest has counted as wrong, if it isn't 0."""
        with self._changed:
            return {name: value for name, value in self._values.items() if name.startswith("wrong") and value}

    def wait_beyond(self, name: str, value: int, deadline_s: float) -> bool:
        """Waits until a counter is another than value, or has begun again; whether it did."""
        with self._changed:
            return self._changed.wait_for(lambda: self._values.get(name, 0) != value, deadline_s)

    def wait_for_boot(self, boots: int, deadline_s: float) -> bool:
        """Waits until there were more boots than so many."""
        with self._changed:
            return self._changed.wait_for(lambda: self.boots > boots, deadline_s)
