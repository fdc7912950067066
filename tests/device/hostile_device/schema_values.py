"""Values made from a schema: the extreme ones that it allows, and what it doesn't, one wrong place at a time.

So whatever a device's module declares is attacked without a line about that device.
"""

from __future__ import annotations

from ipc.schema import Boolean, Bytes, Choice, Integer, ListOf, Record, Schema, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# What msgpack can carry.
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1
# Of none of the types that a schema has; a nested one is deep enough to be a burden, and no deeper.
_NEVER_ALLOWED = (None, 1.5, float("nan"), float("inf"))


class UnknownSchemaError(Exception):
    """A schema of a class that is new: it needs its extremes here."""


def extremes(schema: Schema) -> list[Any]:
    """Allowed values at the ends of what is allowed; the last is the largest when packed."""
    if isinstance(schema, Integer):
        return [schema.lowest, schema.highest]
    if isinstance(schema, Boolean):
        return [False, True]
    if isinstance(schema, Text):
        return ["", "\x1b[2J\r\n\0\u202e"[: schema.longest], "\U0010ffff" * schema.longest]
    if isinstance(schema, Bytes):
        return [b"", b"\xff" * schema.longest]
    if isinstance(schema, Choice):
        return sorted(schema.words, key=len)
    if isinstance(schema, ListOf):
        return [[], [extremes(schema.item)[-1]] * schema.longest]
    if isinstance(schema, Record):
        least = {name: extremes(member)[0] for name, member in schema.members.items()}
        members = {**schema.members, **schema.optional}
        return [least, {name: extremes(member)[-1] for name, member in members.items()}]
    raise UnknownSchemaError(type(schema).__name__)


def wrong_values(schema: Schema) -> Iterator[tuple[str, Any]]:
    """Values that aren't allowed, each with what is wrong about it."""
    for value in _NEVER_ALLOWED:
        yield f"{value}", value
    if isinstance(schema, Integer):
        yield "true for a number", True
        yield "a number as text", "1"
        if schema.lowest > _INT_MIN:
            yield "too small", schema.lowest - 1
        if schema.highest < _INT_MAX:
            yield "too large", schema.highest + 1
    elif isinstance(schema, Boolean):
        yield "1 for true", 1
    elif isinstance(schema, Text):
        yield "bytes for text", b"x"
        yield "too long", "x" * (schema.longest + 1)
    elif isinstance(schema, Bytes):
        yield "text for bytes", "x"
        yield "too long", bytes(schema.longest + 1)
    elif isinstance(schema, Choice):
        yield "another word", "\x1b" + schema.words[0]
    elif isinstance(schema, ListOf):
        yield "a map for a list", {}
        yield "too many", [extremes(schema.item)[0]] * (schema.longest + 1)
        for what, value in wrong_values(schema.item):
            yield f"an item: {what}", [value]
    elif isinstance(schema, Record):
        yield from _wrong_records(schema)
    else:
        raise UnknownSchemaError(type(schema).__name__)


def _wrong_records(schema: Record) -> Iterator[tuple[str, Any]]:
    right = extremes(schema)[0]
    yield "a list for a map", list(right)
    yield "an unknown key", {**right, "more\n": 0}
    for name in schema.members:
        yield f"without {name}", {key: value for key, value in right.items() if key != name}
    for name, member in {**schema.members, **schema.optional}.items():
        for what, value in wrong_values(member):
            yield f"{name}: {what}", {**right, name: value}
