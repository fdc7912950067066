"""Kinds of devices whose processes attack main: for each registered kind, one for each row of the table.

A test's zygote imports this (-X bulkhead_extra_kinds=...). A process of such a kind is the real kind's
until the moment that its attack waits for.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, NoReturn

from device_procs.device_module import DeviceModule
from device_procs.device_registry import KINDS, module_of
from device_procs.device_runtime import control_thread
from ipc.channel import Channel
from ipc.messages import Message
from tests.device.hostile_device import call_attacks
from tests.device.hostile_device.attack import READY, Attack
from tests.device.hostile_device.hostile_process import HostileProcess
from tests.device.hostile_device.table import attacks_on, numbered_kind

_real_kinds = dict(KINDS)
# This process's, once it is known which it is.
_chosen: list[Attack] = []
_process: list[HostileProcess] = []


class _HostileChannel(Channel):
    """The control socket of a process whose attack waits for a message."""

    __slots__ = ()

    def send(self, message: Message) -> None:
        if _chosen and message.name == _chosen[0].when:
            it = _hostile(self)
            it.last_request = message.request_id
            _chosen.pop().act(it)
        else:
            super().send(message)

    def receive(self) -> Message | None:
        message: Message | None = super().receive()
        if message is not None and _chosen and message.name == _chosen[0].when:
            _chosen.pop().act(_hostile(self))
        return message


def _hostile(channel: Channel) -> HostileProcess:
    # A thread that is still in its making is the one whose channel this is.
    if not _process:
        (thread,) = _threads
        _process.append(HostileProcess(thread))
    return _process[0]


_threads: list[Any] = []


def _back_end_of(module: DeviceModule) -> ModuleType:
    """A back end that is the real one, but for who may be woken and what a worker does."""
    back_end = ModuleType(f"hostile.{module.back_end.split('.')[-2]}.device")

    def make_device(config: dict[str, Any], backends: tuple[int, ...]) -> Any:
        device = sys.modules[module.back_end].make_device(config, backends)
        call_attacks.prepare_storm()
        if _chosen[0] is call_attacks.WORKER_STORM:
            return _WithStorm(device)
        return device

    back_end.make_device = make_device  # type: ignore[attr-defined]
    return back_end


class _WithStorm:
    """A device whose first worker makes a storm; the rest is as it was."""

    def __init__(self, device: Any) -> None:
        self._device = device

    def operations(self, queue_set: int) -> tuple[Any, Any]:
        return call_attacks.worker_operations() if queue_set == 0 else self._device.operations(queue_set)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)


def _hostile_module(module: DeviceModule) -> DeviceModule:
    values = {name: getattr(module, name) for name in DeviceModule.__slots__ if name != "help"}
    made = DeviceModule(**values, help_text=module.help)
    back_end = _back_end_of(module)
    made.back_end = back_end.__name__
    folder = made.back_end.rpartition(".")[0]
    sys.modules.update({"hostile": back_end, folder: back_end, made.back_end: back_end})
    return made


def _register() -> None:
    real_run, real_init = control_thread.run, vars(control_thread.ControlThread)["__init__"]
    real_serve = control_thread.ControlThread.serve
    attacks: dict[str, Attack] = {}
    for kind, described in _real_kinds.items():
        _, vocabulary = control_thread.prepare(kind)
        hostile = _hostile_module(module_of(kind))
        for number, attack in enumerate(attacks_on(module_of(kind))):
            name = numbered_kind(kind, number)
            attacks[name] = attack
            KINDS[name] = described
            control_thread._prepared[name] = (hostile, vocabulary)

    def run(kind: str, channel_fd: int, black_box: Any) -> NoReturn:
        if kind in attacks:
            _chosen.append(attacks[kind])
        real_run(kind, channel_fd, black_box)

    def init(thread: Any, *arguments: Any) -> None:
        _threads.append(thread)
        real_init(thread, *arguments)

    def serve(thread: Any) -> NoReturn:
        if _chosen and _chosen[0].when == READY:
            _chosen.pop().act(_hostile(thread._channel))
        real_serve(thread)

    for owner, name, trapped in (
        (control_thread, "run", run),
        (control_thread, "Channel", _HostileChannel),
        (control_thread.ControlThread, "__init__", init),
        (control_thread.ControlThread, "serve", serve),
    ):
        assert hasattr(owner, name)
        setattr(owner, name, trapped)


if "bulkhead_extra_kinds" in sys._xoptions:
    _register()
