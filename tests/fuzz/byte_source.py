"""Makes values of an input's bytes, from its front; an input that is used up gives zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class ByteSource:
    """The rest of one input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    def take(self, length: int) -> bytes:
        """So many bytes, or what is left."""
        taken = self._data[self._at : self._at + length]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))

    def number(self, size: int = 1) -> int:
        """An unsigned number of size bytes."""
        return int.from_bytes(self.take(size), "little")

    def choice(self, values: Sequence[_T]) -> _T:
        """One of them, by a byte."""
        return values[self.number() % len(values)]

    def block(self) -> bytes:
        """Bytes behind their own length, which takes two."""
        return self.take(self.number(2))
