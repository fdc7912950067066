"""What the box says on its serial console: kept for when it fails, and its heartbeat."""

from __future__ import annotations

import re
import time

KEPT_BYTES = 64 * 1024


class BoxLog:
    """The console's output so far, and what it means.

    Attributes:
        heard_at: When it last said anything (time.monotonic(), in seconds).
        started: The command is running.
        failure: Why the box says it can't run anything, or "".
    """

    def __init__(self) -> None:
        self.heard_at = time.monotonic()
        self.started = False
        self.failure = ""
        self._kept = b""
        self._line = b""

    def take(self, chunk: bytes) -> None:
        """Takes what came from the console."""
        self.heard_at = time.monotonic()
        self._kept = (self._kept + chunk)[-KEPT_BYTES:]
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            self._heartbeat(line.decode("utf-8", "replace").strip())

    def _heartbeat(self, line: str) -> None:
        # The kernel may print its own messages into the middle of a line, so only the beginning counts.
        if line.startswith("BOX: command starts"):
            self.started = True
        elif failed := re.match(r"BOX: failed: (.*)", line):
            self.failure = failed.group(1)

    def last_lines(self, count: int) -> str:
        """The end of the console's output."""
        return "\n".join(self._kept.decode("utf-8", "replace").splitlines()[-count:])
