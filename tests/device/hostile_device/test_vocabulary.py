"""What each registered kind may say at most, without a process: what is wrong is refused, all else fits."""

from __future__ import annotations

import msgpack
import pytest

from device_procs.device_registry import KINDS, module_of
from ipc.channel import decode
from ipc.messages import PACKET_MAX_BYTES, vocabulary_for
from ipc.schema import EMPTY, Boolean, Bytes, Choice, Integer, ListOf, Record, Schema, SchemaError, Text
from tests.device.hostile_device.schema_attacks import from_device
from tests.device.hostile_device.schema_values import extremes, wrong_values

REAL_KINDS = tuple(KINDS)
_ERROR_CHARACTERS = 400
# One of each class, so that each is tested whatever the kinds' own schemas are made of.
OF_EACH_CLASS = Record(
    {
        "integer": Integer(-5, 5),
        "boolean": Boolean(),
        "text": Text(4),
        "bytes": Bytes(4),
        "choice": Choice("one", "two"),
        "list": ListOf(Record({"a": Integer(0, 1)}), 3),
    },
    optional={"more": Text(1)},
)


def _packet(name: str, fields: object) -> bytes:
    packed: bytes = msgpack.packb({"m": name, "i": 0, "f": fields})
    return packed


def _check(schemas: dict[str, Schema]) -> int:
    """Each of the schemas' values at their bounds passes, and each beyond is refused in a few words."""
    refused = 0
    for name, schema in schemas.items():
        for value in extremes(schema):
            packet = _packet(name, value)
            assert len(packet) <= PACKET_MAX_BYTES
            assert decode(packet, schemas).name == name
        for what, value in wrong_values(schema):
            with pytest.raises(SchemaError) as caught:
                decode(_packet(name, value), schemas)
            assert str(caught.value).isprintable(), what
            assert len(str(caught.value)) < _ERROR_CHARACTERS, what
            refused += 1
    return refused


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_bounds_of_what_a_device_says(kind: str) -> None:
    assert _check(from_device(module_of(kind))) > 50


def test_bounds_of_each_class_of_schema() -> None:
    assert _check({"ALL": OF_EACH_CLASS, "NOTHING": EMPTY}) > 50


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_the_largest_state_comes_back(kind: str) -> None:
    """What a hostile process commits as its state fits into CONFIGURE, with all else at its largest too."""
    module = module_of(kind)
    from_main = vocabulary_for(module.config_schema, module.state_schema, module.metrics_schema).from_main
    packet = _packet("CONFIGURE", extremes(from_main["CONFIGURE"])[-1])
    assert len(packet) <= PACKET_MAX_BYTES
    assert decode(packet, from_main).name == "CONFIGURE"
