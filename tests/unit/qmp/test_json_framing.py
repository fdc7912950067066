"""The splitter finds the same messages however the bytes are cut, and never holds more than it may."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmm_main.qmp.json_framing import MalformedInputError, MessageSplitter, MessageTooLongError

# A loaded machine is no failure; --timeout catches a hang.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _outcomes(chunks: list[bytes], message_bytes: int = 1000, nesting: int = 20) -> list[bytes | str]:
    """Everything the splitter gives: messages, and the texts of errors."""
    splitter = MessageSplitter(message_bytes, nesting)
    outcomes: list[bytes | str] = []
    for chunk in chunks:
        splitter.feed(chunk)
        while True:
            try:
                message = splitter.next_message()
            except MalformedInputError as error:
                outcomes.append(str(error))
                continue
            if message is None:
                break
            outcomes.append(message)
        assert len(splitter._buffer) <= message_bytes
    return outcomes


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@given(
    st.lists(st.dictionaries(st.text(), _JSON, max_size=3), max_size=5),
    st.sampled_from([b"", b"\n", b"\r\n", b" \t"]),
    st.sampled_from([None, 2]),
    st.lists(st.integers(0, 5000), max_size=8),
)
def test_objects_come_out_as_they_went_in(
    objects: list[dict[str, object]], separator: bytes, indent: int | None, cuts: list[int]
) -> None:
    stream = b"".join(json.dumps(each, indent=indent).encode() + separator for each in objects)
    outcomes = _outcomes(_cut(stream, cuts), message_bytes=1 << 20, nesting=100)
    assert [json.loads(each) for each in outcomes] == objects


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_bytes_give_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    assert _outcomes(_cut(data, cuts)) == _outcomes([data])


_BRACKETS = st.text('{}[]"\\\n,: a1').map(str.encode)


@given(_BRACKETS, st.lists(st.integers(0, 300), max_size=5))
def test_any_brackets_give_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    assert _outcomes(_cut(data, cuts), nesting=3) == _outcomes([data], nesting=3)


@given(_BRACKETS)
def test_after_any_line_and_a_blank_string_line_a_command_is_found(data: bytes) -> None:
    # A bad line may still be open; at the second command at the latest it is known to be bad.
    outcomes = _outcomes([data, b'\n{"execute": "a"}\n{"execute": "b"}\n{"execute": "c"}\n'], nesting=30)
    assert outcomes[-1] == b'{"execute": "c"}'


@pytest.mark.parametrize("filler", [b"x", b"[", b'"', b'{"a', b" [1,\n", b"\\"])
def test_memory_stays_bounded_on_endless_input(filler: bytes) -> None:
    splitter = MessageSplitter(1000, 10)
    too_long = 0
    for _ in range(1000):
        splitter.feed(filler * 50)
        while True:
            try:
                if splitter.next_message() is None:
                    break
            except MessageTooLongError:
                too_long += 1
            except MalformedInputError:
                pass
        assert len(splitter._buffer) <= 1000
    assert too_long > 0 or b"\n" in filler


@pytest.mark.parametrize("message", [b'{"a": "' + b"x" * 991 + b'"}', b"y" * 1000])
def test_a_message_too_long_is_refused_also_if_its_end_comes_with_it(message: bytes) -> None:
    assert len(message) == 1000
    assert _outcomes([message + b"\n{}\n"]) == [message, b"{}"]
    longer = message[:8] + message[7:]
    error = "JSON parse error, a message or line of more than 1000 bytes"
    assert _outcomes([longer + b"\n{}\n"]) == [error, b"{}"]
