"""Packets from a hostile process: each is a message as its schema says, or a SchemaError; nothing else."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipc.channel import decode
from ipc.messages import PACKET_MAX_BYTES, vocabulary_for
from ipc.schema import EMPTY, UINT32_MAX, UINT64_MAX, Integer, Record, Schema, SchemaError, Text

VOCABULARY = vocabulary_for(EMPTY, Record({"on": Integer(0, 1)}), Record({"bytes": Integer(0, UINT64_MAX)}))
INCOMING = VOCABULARY.from_device


def packet(name: Any, fields: Any, request_id: Any = 0) -> bytes:
    return bytes(msgpack.packb({"m": name, "i": request_id, "f": fields}))


def test_a_message() -> None:
    message = decode(packet("READY", {"features": 1 << 63, "config": b"\1\2"}, 7), INCOMING)
    assert (message.name, message.request_id) == ("READY", 7)
    assert message.fields == {"features": 1 << 63, "config": b"\1\2"}
    assert message.descriptors == ()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "isn't msgpack"),
        (b"\xc1", "isn't msgpack"),
        (packet("RESET_DONE", {}) + b"\0", "isn't msgpack"),
        (packet("RESET_DONE", {})[:-1], "isn't msgpack"),
        (b"\x91" * 5000 + b"\xc0", "isn't msgpack"),
        (b"\xdf\xff\xff\xff\xff", "isn't msgpack"),
        (b"\xdd\xff\xff\xff\xff", "isn't msgpack"),
        (b"\xc6\xff\xff\xff\xff", "isn't msgpack"),
        (bytes(msgpack.packb({"m": "RESET_DONE", "i": 0, "f": {1: 2}})), "isn't msgpack"),
        (bytes(msgpack.packb({"m": "LOG", "i": 0, "f": msgpack.ExtType(1, b"x")})), "isn't msgpack"),
        (bytes(msgpack.packb({"m": "LOG", "i": 0, "f": msgpack.Timestamp(0)})), "isn't msgpack"),
        (b"\x83\xa1m\xa1\xff\xa1i\0\xa1f\x80", "isn't msgpack"),  # a name that isn't UTF-8
        (bytes(msgpack.packb([1, 2])), "without m, i and f"),
        (bytes(msgpack.packb({"m": "RESET_DONE", "i": 0})), "without m, i and f"),
        (bytes(msgpack.packb({"m": "RESET_DONE", "i": 0, "f": {}, "x": 1})), "without m, i and f"),
        (packet("CONFIGURE", {}), "unknown message 'CONFIGURE'"),
        (packet(["READY"], {}), "unknown message ['READY']"),
        (packet("\x1b[2J", {}), r"unknown message '\x1b[2J'"),
        (packet("RESET_DONE", {}, -1), "RESET_DONE: request id -1"),
        (packet("RESET_DONE", {}, UINT32_MAX + 1), "RESET_DONE: request id 4294967296"),
        (packet("RESET_DONE", {}, True), "RESET_DONE: request id True"),
        (packet("RESET_DONE", None), "RESET_DONE: None; allowed is a map"),
        (packet("READY", {"features": 1}), "READY: config is missing"),
        (packet("QUIESCED", {"bases": [65536]}), "QUIESCED.bases[0]: 65536; allowed is an integer from 0"),
        (packet("STATE", {"record": {"on": 2}}), "STATE.record.on: 2; allowed is an integer from 0 to 1"),
        (packet("METRICS", {"bytes": float("nan")}), "METRICS.bytes: nan; allowed is an integer"),
        (
            packet("LOG", {"level": "panic", "text": ""}),
            "LOG.level: 'panic'; allowed are info, warning, error",
        ),
        (b"\0" * (PACKET_MAX_BYTES + 1), "a packet over 65536 bytes"),
    ],
)
def test_refused(data: bytes, error: str) -> None:
    with pytest.raises(SchemaError) as caught:
        decode(data, INCOMING)
    assert error in str(caught.value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), UINT64_MAX) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(sorted(INCOMING)) | st.text()


def check(data: bytes) -> None:
    refusal = ""
    try:
        message = decode(data, INCOMING)
    except SchemaError as error:
        refusal = str(error)
    if refusal:
        assert len(refusal) < 400
        assert refusal.isprintable()
    else:
        INCOMING[message.name].check(message.fields, message.name)
        assert (
            decode(packet(message.name, message.fields, message.request_id), INCOMING).fields
            == message.fields
        )


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(names, anything, st.integers(-1, UINT32_MAX + 1) | anything)
def test_any_value_in_the_envelope(name: str, fields: Any, request_id: Any) -> None:
    check(packet(name, fields, request_id))


@given(
    name=st.sampled_from(sorted(INCOMING)),
    keys=st.dictionaries(
        st.sampled_from(["features", "config", "bases", "bytes", "record", "reason", "level", "text", "x"]),
        anything,
    ),
)
def test_any_value_under_known_keys(name: str, keys: dict[str, Any]) -> None:
    check(packet(name, keys))


@given(st.integers(0, 60), st.binary(min_size=1, max_size=4))
def test_a_good_packet_with_some_bytes_changed(at: int, change: bytes) -> None:
    good = packet("READY", {"features": 1 << 40, "config": bytes(range(20))}, 9)
    check(good[:at] + change + good[at + len(change) :])


def test_text_is_counted_in_characters() -> None:
    schema: dict[str, Schema] = {"LOG": Record({"text": Text(3)})}
    assert decode(packet("LOG", {"text": "äöü"}), schema).fields == {"text": "äöü"}
