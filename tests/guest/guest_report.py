"""Reads what the bare-metal guest says on its serial port, and checks that it was the guest who said it."""

from __future__ import annotations

import os
import select
import time

_MASK = (1 << 64) - 1
_FNV_PRIME = 0x100000001B3
_SECRET_STEP = 0x9E3779B97F4A7C15
_DEADLINE_S = 60.0


class SerialStream:
    """The serial port's other end: descriptors to read from and write to, which stay the caller's."""

    def __init__(self, reading_fd: int, writing_fd: int) -> None:
        self._reading_fd = reading_fd
        self._writing_fd = writing_fd
        self._input = b""

    def _wait_for_more(self) -> bool:
        """False at the end of the stream."""
        ready = select.select([self._reading_fd], [], [], _DEADLINE_S)[0]
        assert ready, f"the guest says nothing; last: {self._input!r}"
        data = os.read(self._reading_fd, 1 << 16)
        self._input += data
        return bool(data)

    def read_line(self) -> str:
        """The next line, without its end."""
        while b"\n" not in self._input:
            assert self._wait_for_more(), f"the guest's output ended amid a line: {self._input!r}"
        line, self._input = self._input.split(b"\n", 1)
        return line.decode()

    def read_exactly(self, length: int) -> bytes:
        while len(self._input) < length:
            assert self._wait_for_more(), f"the guest's output ended: {self._input!r}"
        data, self._input = self._input[:length], self._input[length:]
        return data

    def read_to_end(self) -> bytes:
        while self._wait_for_more():
            pass
        return self._input

    def waiting(self) -> bytes:
        """What has come already and not been read."""
        while select.select([self._reading_fd], [], [], 0)[0] and self._wait_for_more():
            pass
        return self._input

    def write(self, data: bytes) -> None:
        expires = time.monotonic() + _DEADLINE_S
        while data:
            assert time.monotonic() < expires, f"{len(data)} bytes aren't taken"
            data = data[os.write(self._writing_fd, data) :]


class GuestReport:
    """One boot's lines of "name: value"; report.c has the other side of it."""

    def __init__(self, serial: SerialStream, nonce: int) -> None:
        self._serial = serial
        self._hash = nonce
        self._values: dict[str, list[str]] = {}

    def _take_line(self) -> tuple[str, str]:
        line = self._serial.read_line()
        for byte in line.encode() + b"\n":
            self._hash = (self._hash ^ byte) * _FNV_PRIME & _MASK
        name, separator, value = line.partition(": ")
        assert separator, f"not a line of a report: {line!r}"
        self._values.setdefault(name, []).append(value)
        return name, value

    def wait_for(self, name: str) -> str:
        """Reads lines until the next one of that name, and returns its value."""
        while True:
            found, value = self._take_line()
            if found == name:
                return value
            assert found != "seal", f"the report ended without {name}: {self._values}"

    def wait_for_seal(self) -> GuestReport:
        """Reads to the seal: all that was said was said by a guest with this nonce."""
        while True:
            expected = self._hash
            name, value = self._take_line()
            if name == "seal":
                assert int(value, 16) == expected, f"forged or garbled: {self._values}"
                assert not any(each.startswith("unexpected") for each in self._values), self._values
                return self

    def texts(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def text(self, name: str) -> str:
        (value,) = self.texts(name)
        return value

    def numbers(self, name: str) -> list[int]:
        return [int(value, 16) for value in self.texts(name)]

    def number(self, name: str) -> int:
        (value,) = self.numbers(name)
        return value

    @property
    def facts(self) -> dict[str, list[str]]:
        """Everything but the seal."""
        return {name: values for name, values in self._values.items() if name != "seal"}

    def memory_map(self) -> list[tuple[int, int, int]]:
        """(start, size, type) as the guest was told."""
        return list(
            zip(
                self.numbers("range-start"),
                self.numbers("range-size"),
                self.numbers("range-type"),
                strict=True,
            )
        )


def secrets_of(nonce: int, count: int) -> list[int]:
    """What report.c's next_secret() makes of a nonce."""
    made = []
    for _ in range(count):
        nonce = ((nonce << 23 | nonce >> 41) & _MASK) * _SECRET_STEP + 1 & _MASK
        made.append(nonce)
    return made
