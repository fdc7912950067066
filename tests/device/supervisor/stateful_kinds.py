"""Kinds whose processes commit a device-state record (DESIGN §3), true ones and wrong ones.

No real kind has one yet. A test's zygote imports this (-X bulkhead_extra_kinds=...); but for the record,
each is an entropy device.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from device_procs.device_registry import KINDS, module_of
from ipc.channel import Channel
from ipc.messages import Message, Vocabulary, vocabulary_for
from ipc.schema import Boolean, Bytes, Choice, Integer, ListOf, Record, Text
from tests.device.hostile_device.schema_values import extremes, wrong_values

REAL = "virtio-rng"
STATE = Record(
    {
        "name": Text(16),
        "level": Integer(0, 9),
        "on": Boolean(),
        "mode": Choice("normal", "promiscuous"),
        "filters": ListOf(Bytes(6), 64),
    }
)
ALLOWED = extremes(STATE)
WRONG = dict(wrong_values(STATE))
# What a process that was given its predecessor's record commits: that, with this name.
RETURNED = "handed back"
TIMES = 20


def committing(number: int) -> str:
    """The kind whose process commits that one of ALLOWED, after others."""
    return f"{REAL}, commits allowed {number}"


def erring(what: str) -> str:
    """The kind whose process commits that one of WRONG."""
    return f"{REAL}, commits wrong {what}"


RETURNING = f"{REAL}, commits what it was given"


def vocabulary() -> Vocabulary:
    """Of each of them."""
    module = module_of(REAL)
    return vocabulary_for(module.config_schema, STATE, module.metrics_schema)


_given: list[Any] = []  # by CONFIGURE


class _Channel(Channel):
    __slots__ = ()

    def receive(self) -> Message | None:
        message: Message | None = super().receive()
        if message is not None and message.name == "CONFIGURE":
            _given.append(message.fields.get("state"))
        return message


def _records() -> dict[str, list[Any]]:
    """What each kind's process commits."""
    made = {committing(n): [*ALLOWED * TIMES, value] for n, value in enumerate(ALLOWED)}
    return made | {erring(what): [value] for what, value in WRONG.items()}


def _register() -> None:
    from device_procs.device_runtime import control_thread

    records = _records()
    chosen: list[str] = []
    run, serve = control_thread.run, control_thread.ControlThread.serve

    def run_trapped(kind: str, channel_fd: int, black_box: Any) -> NoReturn:
        chosen.append(kind)
        run(kind, channel_fd, black_box)

    def serve_trapped(thread: control_thread.ControlThread) -> NoReturn:
        if chosen[0] == RETURNING:
            records[RETURNING] = [{**_given[0], "name": RETURNED}]
        for record in records.get(chosen[0], []):
            thread._channel.send(Message("STATE", {"record": record}))
        serve(thread)

    for owner, name, trapped in (
        (control_thread, "run", run_trapped),
        (control_thread, "Channel", _Channel),
        (control_thread.ControlThread, "serve", serve_trapped),
    ):
        assert hasattr(owner, name)
        setattr(owner, name, trapped)
    module, _ = control_thread.prepare(REAL)
    for kind in (*records, RETURNING):
        KINDS[kind] = KINDS[REAL]
        control_thread._prepared[kind] = (module, vocabulary())


if "bulkhead_extra_kinds" in sys._xoptions:
    _register()
