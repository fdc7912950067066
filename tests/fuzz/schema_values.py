"""Fields of messages made of an input's bytes: mostly as a schema wants them, at its edges, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipc.schema import Boolean, Bytes, Choice, Integer, ListOf, Record, Schema, Text

if TYPE_CHECKING:
    from tests.fuzz.byte_source import ByteSource

# What no schema has, or another one.
_STRANGERS: tuple[Any, ...] = (
    None,
    -1,
    1 << 64 - 1,
    "x",
    b"x",
    [],
    {},
    1.5,
    True,
    0,
    "\udc80",
    [[]],
    {"a": 1},
)
_A_STRANGER, _WITHOUT_A_KEY, _WITH_ANOTHER_KEY = 255, 254, 253


def value_for(schema: Schema, source: ByteSource) -> Any:
    """A value for a schema; of zeros, the lowest that is allowed."""
    knob = source.number()
    if knob == _A_STRANGER:
        return source.choice(_STRANGERS)
    match schema:
        case Integer():
            return _integer(schema, knob, source)
        case Boolean():
            return bool(knob & 1)
        case Text():
            return _repeated(source.take(knob % 16).decode("latin-1"), knob, schema.longest)
        case Bytes():
            return _repeated(source.take(knob % 16), knob, schema.longest)
        case Choice():
            return schema.words[knob % len(schema.words)]
        case ListOf():
            return [value_for(schema.item, source) for _ in range(knob % min(schema.longest + 2, 10))]
        case Record():
            return _record(schema, knob, source)
    raise TypeError(f"a schema of an unknown kind: {schema}")


def lowest_for(schema: Schema) -> Any:
    """The least value that a schema allows."""
    from tests.fuzz.byte_source import ByteSource

    return value_for(schema, ByteSource(b""))


def _integer(schema: Integer, knob: int, source: ByteSource) -> int:
    edges = (schema.lowest, schema.highest, schema.lowest + 1, schema.highest + 1, schema.lowest - 1)
    if knob % 8 < len(edges):
        return edges[knob % 8]
    number = source.number(1 + knob // 8 % 8)
    return number if knob % 8 == 7 else schema.lowest + number % (schema.highest - schema.lowest + 1)


def _repeated(text: Any, knob: int, longest: int) -> Any:
    """As long as is allowed, or one longer, where the knob says so."""
    if knob < 0xE0 or not text:
        return text
    return (text * longest)[: longest + (knob & 1)]


def _record(schema: Record, knob: int, source: ByteSource) -> dict[Any, Any]:
    value: dict[Any, Any] = {name: value_for(member, source) for name, member in schema.members.items()}
    for place, (name, member) in enumerate(schema.optional.items()):
        if knob >> place & 1:
            value[name] = value_for(member, source)
    if knob == _WITHOUT_A_KEY and value:
        del value[source.choice(list(value))]
    if knob == _WITH_ANOTHER_KEY:
        value[source.choice(("x", b"x", 1, None, ""))] = 0
    return value
