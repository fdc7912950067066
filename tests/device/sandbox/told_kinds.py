"""Devices that do what they are told, one for each real kind and under that kind's profiles.

A test's zygote imports this (-X bulkhead_extra_kinds=...); the registry then has "told-virtio_rng" and so on.
"""

from __future__ import annotations

import struct
import sys
from types import ModuleType
from typing import Any

from device_procs.data_plane._data_plane import ffi as data_plane
from device_procs.device_module import DeviceModule, DevicePlan
from device_procs.device_registry import KINDS
from device_procs.device_runtime.device import RING_FEATURES, Device
from ipc.schema import EMPTY, UINT64_MAX, Boolean, Bytes, Integer, Record
from tests.device.sandbox.told_extension import ffi, lib

_CALL = struct.Struct("<q6Q")
_RESULT = Integer(-(1 << 63), (1 << 63) - 1)
FOLDERS = tuple(folder for _, folder in KINDS.values())


def packed_call(number: int, arguments: tuple[int, ...]) -> bytes:
    """A call as SET_CONFIG or CONFIGURE tells it."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    return _CALL.pack(number, *(argument & UINT64_MAX for argument in padded))


def scratch(offset: int) -> int:
    """An argument: the address of a byte of the device's scratch memory."""
    return int(lib.TOLD_SCRATCH) + offset


class ToldDevice(Device):
    """Makes system calls on request, in either thread."""

    __slots__ = ("_told",)

    def __init__(self, config: dict[str, Any]) -> None:
        """Makes config's call at once, under the zygote's profile only."""
        super().__init__(features=RING_FEATURES, config_space=bytes(64), queue_sets=((0,),))
        self._told = ffi.new("struct told *")
        ffi.memmove(self._told.scratch, config["scratch"], len(config["scratch"]))
        if config["call"]:
            self._told.control_result = lib.told_make_call(self._told, _call(config["call"]))

    def operations(self, queue_set: int) -> tuple[Any, Any]:
        address = int(ffi.cast("uintptr_t", lib.told_ops()))
        told = int(ffi.cast("uintptr_t", self._told))
        return data_plane.cast("struct device_ops *", address), data_plane.cast("void *", told)

    def set_config(self, offset: int, data: bytes) -> None:
        if offset == lib.TOLD_WORKER:
            self._told.worker_call = _call(data)[0]
            self._told.worker_is_told = 1
        else:
            self._told.control_result = lib.told_make_call(self._told, _call(data))

    def metrics(self) -> dict[str, Any]:
        return {
            "control_result": self._told.control_result,
            "worker_result": self._told.worker_result,
            "worker_is_told": bool(self._told.worker_is_told),
        }


def _call(data: bytes) -> Any:
    call = ffi.new("struct told_call *")
    ffi.memmove(call, data, _CALL.size)
    return call


def make_device(config: dict[str, Any], backends: tuple[int, ...]) -> ToldDevice:
    return ToldDevice(config)


def told_module(folder: str) -> DeviceModule:
    """The told device under the profiles of the kind in a folder."""
    return DeviceModule(
        kind=f"told-{folder}",
        driver=f"told-{folder}-device",
        virtio_id=4,
        help_text="For tests.",
        keys=(),
        objects=(),
        plan=lambda _values, _objects: DevicePlan({}, (), (16,)),
        back_end=f"told.{folder}.device",
        completes_in_order=True,
        config_schema=Record({"call": Bytes(_CALL.size), "scratch": Bytes(256)}),
        state_schema=EMPTY,
        metrics_schema=Record(
            {"control_result": _RESULT, "worker_result": _RESULT, "worker_is_told": Boolean()}
        ),
    )


def _register() -> None:
    for folder in FOLDERS:
        module = told_module(folder)
        KINDS[module.kind] = (module.driver, f"told_{folder}")
        described = ModuleType(f"device_procs.told_{folder}.module")
        described.MODULE = module  # type: ignore[attr-defined]
        sys.modules[described.__name__] = described
        # The profiles' names come from the back end's folder.
        for name in ("told", f"told.{folder}", module.back_end):
            sys.modules[name] = sys.modules[__name__]


if "bulkhead_extra_kinds" in sys._xoptions:
    _register()
