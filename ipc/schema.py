"""Closed schemas for what arrives in a packet: every key, type and range is declared; nothing else passes.

Plain classes: this is on the start-up path of main, and what main decodes with it was written by a process
that may be hostile.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UINT8_MAX = (1 << 8) - 1
UINT16_MAX = (1 << 16) - 1
UINT32_MAX = (1 << 32) - 1
UINT64_MAX = (1 << 64) - 1


class SchemaError(Exception):
    """A value isn't what its schema says; the text names the place, what was found, and what is allowed."""


class Schema:
    """What a value may be."""

    __slots__ = ()

    def check(self, value: Any, where: str) -> None:
        """Passes if value is allowed.

        Args:
            value: Decoded from a packet.
            where: The value's place, for the error.

        Raises:
            SchemaError: It isn't.
        """
        raise NotImplementedError


class Integer(Schema):
    """A whole number in a range."""

    __slots__ = ("highest", "lowest")

    def __init__(self, lowest: int, highest: int) -> None:
        self.lowest = lowest
        self.highest = highest

    def check(self, value: Any, where: str) -> None:
        """A bool isn't a number here, though Python thinks so."""
        if type(value) is not int or not self.lowest <= value <= self.highest:
            raise SchemaError(
                f"{where}: {_show(value)}; allowed is an integer from {self.lowest} to {self.highest}"
            )


class Boolean(Schema):
    """True or false."""

    __slots__ = ()

    def check(self, value: Any, where: str) -> None:
        """Only the two."""
        if type(value) is not bool:
            raise SchemaError(f"{where}: {_show(value)}; allowed is true or false")


class Text(Schema):
    """A string of at most so many characters."""

    __slots__ = ("longest",)

    def __init__(self, longest: int) -> None:
        self.longest = longest

    def check(self, value: Any, where: str) -> None:
        """Any characters: whoever shows them escapes them."""
        if type(value) is not str or len(value) > self.longest:
            raise SchemaError(
                f"{where}: {_show(value)}; allowed is text of at most {self.longest} characters"
            )


class Bytes(Schema):
    """At most so many bytes."""

    __slots__ = ("longest",)

    def __init__(self, longest: int) -> None:
        self.longest = longest

    def check(self, value: Any, where: str) -> None:
        """The bin type of msgpack only."""
        if type(value) is not bytes or len(value) > self.longest:
            raise SchemaError(f"{where}: {_show(value)}; allowed are at most {self.longest} bytes")


class Choice(Schema):
    """One of a few words."""

    __slots__ = ("words",)

    def __init__(self, *words: str) -> None:
        self.words = words

    def check(self, value: Any, where: str) -> None:
        """Exactly as spelt."""
        if type(value) is not str or value not in self.words:
            raise SchemaError(f"{where}: {_show(value)}; allowed are {', '.join(self.words)}")


class ListOf(Schema):
    """At most so many values of one schema."""

    __slots__ = ("item", "longest")

    def __init__(self, item: Schema, longest: int) -> None:
        self.item = item
        self.longest = longest

    def check(self, value: Any, where: str) -> None:
        """Every item."""
        if type(value) is not list or len(value) > self.longest:
            raise SchemaError(f"{where}: {_show(value)}; allowed is a list of at most {self.longest}")
        for index, item in enumerate(value):
            self.item.check(item, f"{where}[{index}]")


class Record(Schema):
    """A map with these keys and no others; a key behind optional may be missing."""

    __slots__ = ("members", "optional")

    def __init__(self, members: dict[str, Schema], optional: dict[str, Schema] | None = None) -> None:
        self.members = members
        self.optional = optional or {}

    def check(self, value: Any, where: str) -> None:
        """Every key, known and there."""
        if type(value) is not dict:
            raise SchemaError(f"{where}: {_show(value)}; allowed is a map")
        for name, schema in self.members.items():
            if name not in value:
                raise SchemaError(f"{where}: {name} is missing")
            schema.check(value[name], f"{where}.{name}")
        for name, item in value.items():
            if name in self.members:
                continue
            optional = self.optional.get(name) if type(name) is str else None
            if optional is None:
                known = ", ".join((*self.members, *self.optional)) or "none"
                raise SchemaError(f"{where}: unknown key {_show(name)}; allowed are {known}")
            optional.check(item, f"{where}.{name}")


EMPTY = Record({})


def _show(value: Any) -> str:
    """A value in an error: short, printable, whatever it is."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
