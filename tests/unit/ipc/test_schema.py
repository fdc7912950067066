"""Closed schemas: what passes, what doesn't, and what the error names."""

from __future__ import annotations

from typing import Any

import pytest

from ipc.schema import (
    EMPTY,
    UINT64_MAX,
    Boolean,
    Bytes,
    Choice,
    Integer,
    ListOf,
    Record,
    Schema,
    SchemaError,
    Text,
)

POINT = Record({"x": Integer(0, 9)}, optional={"name": Text(4)})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (Integer(-2, 3), -2),
        (Integer(-2, 3), 3),
        (Integer(0, UINT64_MAX), UINT64_MAX),
        (Boolean(), False),
        (Text(3), "abc"),
        (Text(3), "äöü"),
        (Text(0), ""),
        (Bytes(2), b"\0\xff"),
        (Choice("a", "b"), "b"),
        (ListOf(Integer(0, 1), 2), [0, 1]),
        (ListOf(Integer(0, 1), 2), []),
        (POINT, {"x": 1}),
        (POINT, {"x": 1, "name": "n"}),
        (EMPTY, {}),
    ],
)
def test_allowed(schema: Schema, value: Any) -> None:
    schema.check(value, "here")


@pytest.mark.parametrize(
    ("schema", "value", "error"),
    [
        (Integer(0, 3), 4, "here: 4; allowed is an integer from 0 to 3"),
        (Integer(0, 3), -1, "here: -1; allowed is an integer from 0 to 3"),
        (Integer(0, 3), True, "here: True; allowed is an integer from 0 to 3"),
        (Integer(0, 3), 1.0, "here: 1.0; allowed is an integer from 0 to 3"),
        (Integer(0, 3), "1", "here: '1'; allowed is an integer from 0 to 3"),
        (Integer(0, 3), None, "here: None; allowed is an integer from 0 to 3"),
        (Boolean(), 1, "here: 1; allowed is true or false"),
        (Text(3), "abcd", "here: 'abcd'; allowed is text of at most 3 characters"),
        (Text(3), b"abc", "here: b'abc'; allowed is text of at most 3 characters"),
        (Bytes(2), b"abc", "here: b'abc'; allowed are at most 2 bytes"),
        (Bytes(2), "ab", "here: 'ab'; allowed are at most 2 bytes"),
        (Choice("a", "b"), "A", "here: 'A'; allowed are a, b"),
        (Choice("a", "b"), ["a"], "here: ['a']; allowed are a, b"),
        (ListOf(Integer(0, 1), 2), [0, 1, 0], "here: [0, 1, 0]; allowed is a list of at most 2"),
        (ListOf(Integer(0, 1), 2), (0, 1), "here: (0, 1); allowed is a list of at most 2"),
        (ListOf(Integer(0, 1), 2), [0, 2], "here[1]: 2; allowed is an integer from 0 to 1"),
        (POINT, {}, "here: x is missing"),
        (POINT, {"x": 10}, "here.x: 10; allowed is an integer from 0 to 9"),
        (POINT, {"x": 1, "name": 5}, "here.name: 5; allowed is text of at most 4 characters"),
        (POINT, {"x": 1, "y": 2}, "here: unknown key 'y'; allowed are x, name"),
        (POINT, {"x": 1, 7: 2}, "here: unknown key 7; allowed are x, name"),
        (POINT, [], "here: []; allowed is a map"),
        (EMPTY, {"x": 1}, "here: unknown key 'x'; allowed are none"),
    ],
)
def test_refused(schema: Schema, value: Any, error: str) -> None:
    with pytest.raises(SchemaError) as caught:
        schema.check(value, "here")
    assert str(caught.value) == error


def test_an_error_stays_short_and_printable_whatever_was_sent() -> None:
    with pytest.raises(SchemaError) as caught:
        Boolean().check("\x1b[31m\n" + "x" * 10000, "here")
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()
