"""Finds where one JSON object ends and the next begins in a client's bytes, at bounded cost.

A message may span lines, and several may stand on one line: QEMU takes both. Only brackets and strings are
looked at here, each byte once; a complete message goes to the json module. After a mistake, reading goes on
at the next line, so that one bad line doesn't take later commands with it.
"""

from __future__ import annotations

import re

_BLANKS = b" \t\r\n"
_RUN_OF_BLANKS = re.compile(rb"[ \t\r\n]*")
_IN_MESSAGE = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'["\\\n]')
_CLOSER = {0x7B: 0x7D, 0x5B: 0x5D}  # { to }, [ to ]
_MAY_PRECEDE_OPENER = b",:["
_QUOTE, _BACKSLASH, _NEWLINE = b'"\\\n'


class MalformedInputError(Exception):
    """Input that can't become a message; reading goes on at the next line."""


class MessageTooLongError(MalformedInputError):
    """More input than any message or line may have."""


class MessageSplitter:
    """Takes bytes as they come and gives complete messages.

    Holds at most message_bytes and what was fed last.
    """

    __slots__ = (
        "_buffer",
        "_closers",
        "_in_string",
        "_message_bytes",
        "_nesting",
        "_scanned",
        "_skipped_bytes",
    )

    def __init__(self, message_bytes: int, nesting: int) -> None:
        self._message_bytes = message_bytes
        self._nesting = nesting
        self._buffer = bytearray()
        self._scanned = 0
        self._closers = bytearray()  # the closing brackets that are due, innermost last
        self._in_string = False
        self._skipped_bytes = -1  # at least 0 while the rest of a bad line is thrown away

    def feed(self, data: bytes) -> None:
        """Adds input."""
        self._buffer += data

    def skip_line(self) -> None:
        """Throws away the input up to and with the next newline."""
        self._forget_message()
        self._skipped_bytes = 0

    def next_message(self) -> bytes | None:
        """Returns the next message (a bracketed value, or else a line), or None until more input has come.

        Raises:
            MessageTooLongError: a message or a line is longer than allowed.
            MalformedInputError: the input is no JSON; call again for what follows it.
        """
        if self._skipped_bytes >= 0 and not self._skip():
            return None
        if not self._closers:
            self._drop_blanks()
            if not self._buffer:
                return None
            if self._buffer[0] not in _CLOSER:
                return self._take_line()
        return self._take_bracketed()

    def _drop_blanks(self) -> None:
        run = _RUN_OF_BLANKS.match(self._buffer)
        length = run.end() if run else 0
        del run  # it holds the bytearray, whose size can't change meanwhile
        # Cutting off a bytearray's front moves no bytes.
        del self._buffer[:length]
        self._scanned = max(0, self._scanned - length)

    def _skip(self) -> bool:
        """Throws away up to the next newline; returns whether it was found."""
        newline = self._buffer.find(b"\n")
        if newline < 0:
            self._skipped_bytes += len(self._buffer)
            self._buffer.clear()
            if self._skipped_bytes > self._message_bytes:
                self._skipped_bytes = 0
                raise MessageTooLongError(self._too_long())
            return False
        del self._buffer[: newline + 1]
        self._skipped_bytes = -1
        return True

    def _take_line(self) -> bytes | None:
        newline = self._buffer.find(b"\n", self._scanned)
        if newline < 0:
            self._scanned = len(self._buffer)
            self._check_length()
            return None
        return self._take(newline)

    def _take_bracketed(self) -> bytes | None:
        buffer, closers = self._buffer, self._closers
        while True:
            pattern = _IN_STRING if self._in_string else _IN_MESSAGE
            found = pattern.search(buffer, self._scanned)
            if found is None:
                self._scanned = len(buffer)
                break
            at = found.start()
            del found  # it holds the bytearray, whose size can't change meanwhile
            byte = buffer[at]
            if byte == _BACKSLASH:
                if at + 1 == len(buffer):
                    self._scanned = at  # what it escapes is yet to come
                    break
                self._scanned = at + 2
                continue
            self._scanned = at + 1
            if byte == _QUOTE:
                self._in_string = not self._in_string
            elif byte == _NEWLINE:
                raise self._malformed(at, "a string has no end on its line")
            elif byte in _CLOSER:
                if closers and not self._opener_may_stand(at):
                    raise self._malformed(at, "a separator is missing")
                if len(closers) == self._nesting:
                    raise self._malformed(at, f"more than {self._nesting} levels of nesting")
                closers.append(_CLOSER[byte])
            elif byte != closers[-1]:
                raise self._malformed(at, f"stray '{chr(byte)}'")
            else:
                closers.pop()
                if not closers:
                    return self._take(at + 1)
        self._check_length()
        return None

    def _opener_may_stand(self, at: int) -> bool:
        """Whether the last byte before position at, blanks aside, is one that a bracket may follow."""
        before = at - 1
        while self._buffer[before] in _BLANKS:
            before -= 1
        return self._buffer[before] in _MAY_PRECEDE_OPENER

    def _take(self, end: int) -> bytes:
        """Cuts off the message that ends before position end."""
        message = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._forget_message()
        if len(message) > self._message_bytes:
            raise MessageTooLongError(self._too_long())
        return message

    def _malformed(self, at: int, reason: str) -> MalformedInputError:
        """Makes the next message begin at the line of position at, or after it if this message did."""
        line_start = self._buffer.rfind(b"\n", 0, at + 1) + 1
        del self._buffer[:line_start]
        self._forget_message()
        if line_start == 0:
            self._skipped_bytes = 0
        return MalformedInputError(f"JSON parse error, {reason}")

    def _check_length(self) -> None:
        if len(self._buffer) > self._message_bytes:
            self._buffer.clear()
            self.skip_line()
            raise MessageTooLongError(self._too_long())

    def _too_long(self) -> str:
        return f"JSON parse error, a message or line of more than {self._message_bytes} bytes"

    def _forget_message(self) -> None:
        self._scanned = 0
        self._in_string = False
        self._closers.clear()
