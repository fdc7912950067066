"""A target with a bug, a length taken on trust. The fuzzer must find it, or its silence says nothing."""

from __future__ import annotations

from collections.abc import Iterator


def _reader(data: bytes) -> int:
    if data[:1] != b"L":
        raise ValueError("no length")
    if data[1:2] != b"=":
        raise ValueError("no sign")
    length = data[2]
    return data[2 + length]


def run(data: bytes) -> None:
    """Any bytes are a number or a ValueError; the bug is an IndexError."""
    try:
        _reader(data)
    except ValueError:
        return


def dictionary() -> Iterator[bytes]:
    """None: it is to be found by coverage alone."""
    yield from ()


def seeds() -> Iterator[bytes]:
    """One that is refused."""
    yield b"?"
