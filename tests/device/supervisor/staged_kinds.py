"""Kinds of real devices whose processes do wrong at a stage of their start, in one of several ways.

A test's zygote imports this (-X bulkhead_extra_kinds=...). The stage is the last one that the black box
shows. Two kinds end the zygote itself.
"""

from __future__ import annotations

import _socket
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import msgpack

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_registry import KINDS
from ipc.messages import Message

STAGES = {
    "born": 0,
    "cloned": lib.STAGE_CLONED,
    "jailed": lib.STAGE_JAILED,
    "certified": lib.STAGE_CERTIFIED,
    "configured": lib.STAGE_CONFIGURED,
    "workers started": lib.STAGE_WORKERS_STARTED,
    "filtered": lib.STAGE_FILTERED,
    "ready": lib.STAGE_READY,
}


# Not a stage: when main asks it whether it still answers, and its workers are at work.
ASKED = "asked"
_PLACES = {**STAGES, ASKED: lib.STAGE_READY + 1}


def _wait() -> None:
    while True:  # for whatever comes from outside; system calls that could wait aren't allowed at every stage
        pass


def _block() -> None:
    select.poll().poll()


def _exit() -> None:
    os._exit(0)


def _segv() -> None:
    ffi.cast("int *", 16)[0]


def _refused() -> None:
    os.kill(1, 0)  # no profile allows it


def _packet(name: str, request_id: int = 0, **fields: Any) -> bytes:
    packed: bytes = msgpack.packb({"m": name, "i": request_id, "f": fields})
    return packed


READY = _packet("READY", features=1 << 32, config=b"")
# What a process says once it is ready, if it says anything it mustn't.
SAYINGS = {
    "no map": b"\xc1",
    "half a map": READY[:-3],
    "too much": bytes(70000),
    "unknown": _packet("NONSENSE\n"),
    "unknown key": _packet("LOG", level="info", text="", more=1),
    "ready twice": READY,
    "certified late": _packet(
        "BIRTH_CERTIFICATE", text=b"",
    ),
    "an answer to nothing": _packet("RESET_DONE", 4242),
    "an answer without a number": _packet("QUIESCED", bases=[0]),
    "other config": _packet("CONFIG_CHANGED", config=b"x"),
    "failed": _packet("FAILED", reason="first\nsecond \x1b[2J"),
}  # fmt: skip


def _say(packet: bytes) -> None:
    _control[0].send(packet)
    _wait()


def _flood() -> None:
    packet = _packet("LOG", level="info", text="again and again")
    while True:
        try:
            _control[0].send(packet)
        except BlockingIOError:
            pass  # main takes its time


_control: list[_socket.socket] = []  # a ready process's own
WAYS: dict[str, Callable[[], object]] = {
    "wait": _wait, "block": _block, "exit": _exit, "abort": os.abort, "segv": _segv, "refused": _refused,
    "flood": _flood, **{saying: partial(_say, packet) for saying, packet in SAYINGS.items()},
}  # fmt: skip
# The zygote dies when it has cloned a process, which waits for its maps or has them, and tells nobody.
ZYGOTE_DIES_BEFORE_MAPS, ZYGOTE_DIES_AFTER_MAPS = "virtio-rng, unmapped", "virtio-rng, mapped"
# It becomes another user, whom main may not kill, and then says nothing more.
ZYGOTE_IS_NOBODYS, ANOTHER_UID = "virtio-rng, nobody's", 12345


def staged_kind(stage: str, way: str, real: str = "virtio-rng") -> str:
    """The kind whose process is a real one's, and stops at a stage in a way."""
    return f"{real}: {stage}, {way}"


class _Trap:
    """Stands for the extension where stages are written down; springs when the next one is reached for."""

    def __init__(self) -> None:
        self.stage = -1
        self.way = "wait"
        self.kills_zygote = False

    def set_by(self, kind: str) -> None:
        stage, comma, way = kind.partition(": ")[2].partition(", ")
        if comma:
            self.stage, self.way = _PLACES[stage], way

    def spring_at(self, stage: int) -> None:
        if stage == self.stage:
            WAYS[self.way]()

    def __getattr__(self, name: str) -> Any:
        if name == "device_map_ids" and self.kills_zygote:
            _segv()
        if name == "jail_enter":
            return self.enter_jail
        if name.startswith("STAGE_"):
            self.spring_at(getattr(lib, name) - 1)
        return getattr(lib, name)

    def enter_jail(self, jail: Any) -> int:
        """As the C function does, stage by stage."""
        self.spring_at(0)
        for stage in (lib.STAGE_CLONED, lib.STAGE_JAILED, lib.STAGE_CERTIFIED):
            error: int = lib.jail_enter_until(jail, stage)
            if error < 0 or stage == lib.STAGE_CERTIFIED:  # that is left where the next one is reached for
                return error
            self.spring_at(stage)
        raise AssertionError("there is a last stage")


def _register() -> None:
    from device_procs.device_runtime import control_thread
    from device_procs.sandbox import birth
    from device_procs.zygote import zygote

    trap = _Trap()
    make_device = zygote.Zygote._make_device
    live, serve = birth.live, control_thread.ControlThread.serve
    answer = control_thread.ControlThread._ping

    def live_trapped(kind: str, jail: Any) -> NoReturn:
        trap.set_by(kind)
        live(kind, jail)

    def serve_trapped(thread: control_thread.ControlThread) -> NoReturn:
        _control.append(thread._channel._socket)
        trap.spring_at(lib.STAGE_READY)
        serve(thread)

    def answer_trapped(thread: control_thread.ControlThread, message: Message) -> None:
        trap.spring_at(_PLACES[ASKED])
        answer(thread, message)

    def make_and_die(it: zygote.Zygote, request: Message, birth: Any) -> zygote.ZygoteError | None:
        if request.fields["kind"] == ZYGOTE_IS_NOBODYS:
            with suppress(OSError):  # an ordinary user's can't
                os.setresuid(ANOTHER_UID, ANOTHER_UID, ANOTHER_UID)
            _segv()
        trap.kills_zygote = request.fields["kind"] == ZYGOTE_DIES_BEFORE_MAPS
        error = make_device(it, request, birth)
        if request.fields["kind"] == ZYGOTE_DIES_AFTER_MAPS:
            _segv()
        return error

    for owner, name, trapped in (
        (birth, "lib", trap),
        (control_thread, "lib", trap),
        (zygote, "lib", trap),
        (zygote, "live", live_trapped),
        (zygote.Zygote, "_make_device", make_and_die),
        (control_thread.ControlThread, "serve", serve_trapped),
        (control_thread.ControlThread, "_ping", answer_trapped),
    ):
        assert hasattr(owner, name)
        setattr(owner, name, trapped)
    kinds = {staged_kind(stage, way, real): real for real in KINDS for stage in _PLACES for way in WAYS}
    zygotes = (ZYGOTE_DIES_BEFORE_MAPS, ZYGOTE_DIES_AFTER_MAPS, ZYGOTE_IS_NOBODYS)
    kinds |= dict.fromkeys(zygotes, "virtio-rng")
    for kind, real in kinds.items():
        KINDS[kind] = KINDS[real]
        control_thread._prepared[kind] = control_thread.prepare(real)


if "bulkhead_extra_kinds" in sys._xoptions:
    _register()
