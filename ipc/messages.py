"""The vocabulary: vhost-user's messages by their names, and what vhost-user lacks.

A message has a name and fields. A device's own config, state and metrics have schemas that its module
declares, so the vocabulary is made per kind of device: vocabulary_for().

main -> device                              device -> main
  CONFIGURE (with descriptors)                READY
  SET_FEATURES, SET_VRING_NUM,
  SET_VRING_ADDR, SET_VRING_BASE,
  SET_VRING_ENABLE, SET_CONFIG
  QUIESCE                                     QUIESCED
  RESET_DEVICE                                RESET_DONE
  GET_METRICS                                 METRICS
  PING                                        PONG
                                              unasked: BIRTH_CERTIFICATE, STATE, CONFIG_CHANGED,
                                              NEEDS_RESET, LOG, FAILED

The native start-up is one request and one reply: CONFIGURE carries what SET_MEM_TABLE, SET_VRING_KICK,
SET_VRING_CALL and GET_INFLIGHT_FD carry one by one in the binary encoding of vhost-user.
"""

from __future__ import annotations

from ipc.schema import (
    EMPTY,
    UINT16_MAX,
    UINT64_MAX,
    Boolean,
    Bytes,
    Choice,
    Integer,
    ListOf,
    Record,
    Schema,
    Text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL_VERSION = 1
PACKET_MAX_BYTES = 64 << 10
DESCRIPTORS_MAX = 253  # the kernel's SCM_MAX_FD
QUEUES_MAX = 64
MEMORY_REGIONS_MAX = 8
CONFIG_SPACE_MAX_BYTES = 256
CERTIFICATE_MAX_BYTES = 16 << 10  # ipc/birth_certificate.py

_QUEUE_INDEX = Integer(0, QUEUES_MAX - 1)
_GPA = Integer(0, UINT64_MAX)
_RING_INDEX = Integer(0, UINT16_MAX)
_RING_SIZE = Integer(1, 1 << 15)
_CONFIG_SPACE = Bytes(CONFIG_SPACE_MAX_BYTES)


class Message:
    """One message, to send or received.

    Attributes:
        name: Of its type.
        fields: By name, checked against the type's schema when received.
        request_id: Its number if an answer is expected; the number of the request if it is one; else 0.
        descriptors: That came or go with it.
    """

    __slots__ = ("descriptors", "fields", "name", "request_id")

    def __init__(
        self,
        name: str,
        fields: dict[str, Any] | None = None,
        request_id: int = 0,
        descriptors: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self.fields = fields if fields is not None else {}
        self.request_id = request_id
        self.descriptors = descriptors


class Vocabulary:
    """What either side may say about one kind of device: schemas by message name."""

    __slots__ = ("from_device", "from_main")

    def __init__(self, from_main: dict[str, Schema], from_device: dict[str, Schema]) -> None:
        self.from_main = from_main
        self.from_device = from_device


def vocabulary_for(config: Schema, state: Schema, metrics: Schema) -> Vocabulary:
    """The vocabulary of one kind of device.

    Args:
        config: What CONFIGURE tells the device about itself.
        state: Its device-state record (DESIGN §3): what it knows beyond rings and features.
        metrics: What it counts.
    """
    # Descriptors of CONFIGURE, in this order: guest memory, back ends, a kick eventfd per queue, a call
    # eventfd per queue, and the in-flight log if there is one.
    from_main: dict[str, Schema] = {
        "CONFIGURE": Record(
            {
                "version": Integer(PROTOCOL_VERSION, PROTOCOL_VERSION),
                "config": config,
                "memory": ListOf(
                    Record({"gpa": _GPA, "size": _GPA, "offset": _GPA, "writable": Boolean()}),
                    MEMORY_REGIONS_MAX,
                ),
                "backends": Integer(0, DESCRIPTORS_MAX),
                "queues": Integer(1, QUEUES_MAX),
                "inflight": Boolean(),
                "seccomp": Boolean(),
            },
            # successor: another process of this device was ready before.
            optional={"state": state, "successor": Boolean()},
        ),
        "SET_FEATURES": Record({"features": Integer(0, UINT64_MAX)}),
        "SET_VRING_NUM": Record({"index": _QUEUE_INDEX, "num": _RING_SIZE}),
        "SET_VRING_ADDR": Record(
            {"index": _QUEUE_INDEX, "desc_gpa": _GPA, "avail_gpa": _GPA, "used_gpa": _GPA}
        ),
        # base is the next entry of the available ring to look at; without one, a device that completes in
        # order takes used.idx, and one with an in-flight log what that says.
        "SET_VRING_BASE": Record({"index": _QUEUE_INDEX}, optional={"base": _RING_INDEX}),
        "SET_VRING_ENABLE": Record({"index": _QUEUE_INDEX, "enable": Boolean()}),
        "SET_CONFIG": Record({"offset": Integer(0, CONFIG_SPACE_MAX_BYTES), "data": _CONFIG_SPACE}),
        "QUIESCE": EMPTY,
        "RESET_DEVICE": EMPTY,
        "GET_METRICS": EMPTY,
        "PING": EMPTY,  # now and then: whether the control thread still answers
    }
    from_device: dict[str, Schema] = {
        "BIRTH_CERTIFICATE": Record({"text": Bytes(CERTIFICATE_MAX_BYTES)}),
        "READY": Record({"features": Integer(0, UINT64_MAX), "config": _CONFIG_SPACE}),
        "QUIESCED": Record({"bases": ListOf(_RING_INDEX, QUEUES_MAX)}),
        "RESET_DONE": EMPTY,
        "METRICS": metrics,
        "PONG": EMPTY,
        "STATE": Record({"record": state}),
        "CONFIG_CHANGED": Record({"config": _CONFIG_SPACE}),
        "NEEDS_RESET": Record({"reason": Text(200)}),
        "LOG": Record({"level": Choice("info", "warning", "error"), "text": Text(1000)}),
        # back_end: it is what main gave it that fails; where: the same as the process sees it, for the log.
        "FAILED": Record({"reason": Text(1000)}, optional={"back_end": Boolean(), "where": Text(1000)}),
    }
    return Vocabulary(from_main, from_device)
