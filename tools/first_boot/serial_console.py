"""The far end of a guest's serial port, for scripts: wait for output, with a deadline, then type.

Nothing here sleeps: every step waits until the guest has said something that means it is time to go on.
"""

from __future__ import annotations

import os
import re
import secrets
import select
import time
from dataclasses import dataclass

PROMPT = "guest# "
CHUNK_BYTES = 65536
SHOWN_BYTES = 4000


class ConsoleError(Exception):
    """The guest didn't say what was waited for; the message ends with what it said instead."""


@dataclass(frozen=True)
class Answer:
    """What a command in the guest's shell gave.

    Attributes:
        output: What it printed, with lines ended by a newline only, without white space around.
        status: Its exit status.
    """

    output: str
    status: int


class SerialConsole:
    """A guest's serial port behind two descriptors (which may be one: a socket or a pty).

    Attributes:
        transcript: Everything the guest has said.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._position = 0
        self.transcript = b""

    def wait_for(self, pattern: str, deadline_s: float) -> re.Match[str]:
        """Waits until the guest has said something new that matches; what follows the match stays for later.

        Args:
            pattern: A regular expression over what was said without carriage returns, bytes as Latin-1.
            deadline_s: How long to wait, in seconds.

        Raises:
            ConsoleError: the deadline passed or the port was closed.
        """
        expires = time.monotonic() + deadline_s
        while True:
            text = self.transcript[self._position :].decode("latin-1").replace("\r", "")
            found = re.search(pattern, text)
            if found:
                # The position counts bytes with carriage returns, the match without: walk to the same place.
                self._position += _length_with_returns(self.transcript[self._position :], found.end())
                return found
            if not self._read(expires - time.monotonic()):
                gone = self._reader < 0
                why = "the console was closed" if gone else f"{deadline_s:g} s passed"
                raise ConsoleError(
                    f"{why} while waiting for {pattern!r}; the guest said last:\n{self.tail()}"
                )

    def _read(self, timeout_s: float) -> bool:
        """Takes what is there, waiting for it; whether anything came."""
        if self._reader < 0 or not select.select([self._reader], [], [], max(0, timeout_s))[0]:
            return False
        try:
            chunk = os.read(self._reader, CHUNK_BYTES)
        except OSError:  # a pty whose other side was closed gives EIO, a socket may be reset
            chunk = b""
        if not chunk:
            self._reader = -1
            return False
        self.transcript += chunk
        return True

    def read_to_end(self, deadline_s: float) -> None:
        """Takes everything until the port is closed; raises ConsoleError if it isn't in time."""
        expires = time.monotonic() + deadline_s
        while self._read(expires - time.monotonic()):
            pass
        if self._reader >= 0:
            raise ConsoleError(f"the console is still open after {deadline_s:g} s; last:\n{self.tail()}")

    def send(self, text: str) -> None:
        """Types text.

        Raises:
            ConsoleError: the port was closed.
        """
        data = text.encode()
        try:
            while data:
                data = data[os.write(self._writer, data) :]
        except OSError as error:
            raise ConsoleError(f"the console was closed; the guest said last:\n{self.tail()}") from error

    def wait_for_prompt(self, deadline_s: float) -> None:
        """Waits for the guest's shell.

        Raises:
            ConsoleError: see wait_for().
        """
        self.wait_for(re.escape(PROMPT), deadline_s)

    def ask(self, command: str, deadline_s: float = 60.0) -> Answer:
        """Runs a command in the guest's shell, whose prompt has been seen, and waits for its end.

        Raises:
            ConsoleError: see wait_for().
        """
        # The markers are typed with quotes inside, so that the echo of what is typed doesn't look like them.
        token = secrets.token_hex(4)
        self.send(f'echo be""gin-{token}; {command}; echo en""d-{token} $?\n')
        self.wait_for(f"begin-{token}\n", deadline_s)
        ended = self.wait_for(rf"(?s)(.*?)end-{token} (\d+)\n", deadline_s)
        self.wait_for_prompt(deadline_s)
        return Answer(ended.group(1).strip(), int(ended.group(2)))

    def tail(self) -> str:
        """The end of what the guest said, for messages."""
        return self.transcript[-SHOWN_BYTES:].decode("utf-8", "replace").replace("\r", "")


def _length_with_returns(data: bytes, count: int) -> int:
    """How many bytes hold the first `count` bytes that aren't carriage returns."""
    position = 0
    while count:
        count -= data[position : position + 1] != b"\r"
        position += 1
    return position
