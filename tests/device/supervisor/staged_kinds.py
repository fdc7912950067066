"""Kinds of virtio-rng whose processes come to an end at a stage of their start, in one of several ways.

A test's zygote imports this (-X bulkhead_extra_kinds=...). The stage is the last one that the black box
shows.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_registry import KINDS

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


def _wait() -> None:
    while True:  # for whatever comes from outside; system calls that could wait aren't allowed at every stage
        pass


def _exit() -> None:
    os._exit(0)


def _segv() -> None:
    ffi.cast("int *", 16)[0]


def _refused() -> None:
    os.kill(1, 0)  # no profile allows it


WAYS = {"wait": _wait, "exit": _exit, "abort": os.abort, "segv": _segv, "refused": _refused}


def staged_kind(stage: str, way: str) -> str:
    """The kind whose process stops at a stage in a way."""
    return f"virtio-rng: {stage}, {way}"


class _Trap:
    """Stands for the extension where stages are written down; springs when the next one is reached for."""

    def __init__(self) -> None:
        self.stage = -1
        self.way = "wait"

    def set_by(self, kind: str) -> None:
        stage, comma, way = kind.partition(": ")[2].partition(", ")
        if comma:
            self.stage, self.way = STAGES[stage], way

    def spring_at(self, stage: int) -> None:
        if stage == self.stage:
            WAYS[self.way]()

    def __getattr__(self, name: str) -> Any:
        if name == "black_box_attach":
            self.spring_at(0)
        elif name.startswith("STAGE_"):
            self.spring_at(getattr(lib, name) - 1)
        return getattr(lib, name)


def _register() -> None:
    from device_procs.device_runtime import control_thread
    from device_procs.sandbox import birth
    from device_procs.zygote import zygote

    trap = _Trap()
    live, serve = birth.live, control_thread.ControlThread.serve

    def live_trapped(newborn: birth.Newborn) -> NoReturn:
        trap.set_by(newborn.kind)
        live(newborn)

    def serve_trapped(thread: control_thread.ControlThread) -> NoReturn:
        trap.spring_at(lib.STAGE_READY)
        serve(thread)

    for owner, name, trapped in (
        (birth, "lib", trap),
        (control_thread, "lib", trap),
        (zygote, "live", live_trapped),
        (control_thread.ControlThread, "serve", serve_trapped),
    ):
        assert hasattr(owner, name)
        setattr(owner, name, trapped)
    prepared = control_thread.prepare("virtio-rng")
    for stage in STAGES:
        for way in WAYS:
            KINDS[staged_kind(stage, way)] = KINDS["virtio-rng"]
            control_thread._prepared[staged_kind(stage, way)] = prepared


if "bulkhead_extra_kinds" in sys._xoptions:
    _register()
