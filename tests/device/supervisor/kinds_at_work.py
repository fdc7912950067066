"""Each registered kind of device in a VM without KVM, with a driver that knows what it must get.

What its well_formed_requests.py declares makes a driver of any kind. A kind that has more to lose than
a request has a driver of its own: AtWork in at_work.py, in the folder of its tests.
"""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from device_procs.device_registry import KINDS
from tests.device.hostile_driver.declaration import FILL, Request, declared
from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm
from tools.fake_driver.driver_queue import DESC_F_NEXT, DESC_F_WRITE, DriverQueue
from tools.fake_driver.guest_ram import GuestRam

_DEPTH = 8


class KindAtWork:
    """A VM with one device, and its driver."""

    def __init__(self, directory: Path, **options: Any) -> None:
        """Starts the VM with SupervisedVm's options; the driver has set DRIVER_OK."""
        self.vm = SupervisedVm(directory / "uids.lock", **self._devices(directory), **options)
        self.vm.transports[0].driver_ok(size=256)

    @abstractmethod
    def _devices(self, directory: Path) -> dict[str, Any]:
        """SupervisedVm's options that make the one device."""

    @abstractmethod
    def begin(self) -> None:
        """Offers requests, and kicks."""

    @abstractmethod
    def finish(self) -> None:
        """Waits until each has come back, once and as it should be; a device that needs minutes fails."""


class _Chains:
    """The same request several times in one queue."""

    def __init__(self, ram: GuestRam, queue: DriverQueue, request: Request) -> None:
        self._ram = ram
        self._queue = queue
        self._request = request
        self._segments = len(request.readable) + len(request.writable)
        self._count = min(_DEPTH, queue.num // self._segments)
        self._answers: dict[int, int] = {}  # head -> where its writable bytes are

    def begin(self) -> None:
        gpa = self._queue.buffers_gpa
        for number in range(self._count):
            head = number * self._segments
            readable = [(content, 0) for content in self._request.readable]
            writable = [(bytes([FILL]) * length, DESC_F_WRITE) for length in self._request.writable]
            self._answers[head] = gpa + sum(len(content) for content, _ in readable)
            for index, (content, flags) in enumerate((*readable, *writable), head):
                is_last = index == head + self._segments - 1
                more = 0 if is_last else DESC_F_NEXT
                self._ram.write(gpa, content)
                self._queue.set_descriptor(
                    index, gpa, len(content), flags | more, 0 if is_last else index + 1
                )
                gpa += len(content)
        self._queue.offer(*self._answers)

    def finish(self) -> None:
        while self._answers:
            head, written = self._queue.wait(HANGS_AFTER_S)
            content = self._ram.read(self._answers.pop(head), sum(self._request.writable))
            assert self._request.is_answered(written, content), (head, written, content)


class DeclaredAtWork(KindAtWork):
    """A device of any kind, with the well-formed requests that it declares: the first of each queue."""

    def __init__(self, kind: str, directory: Path, **options: Any) -> None:
        self._kind = kind
        super().__init__(directory, **options)
        queues = self.vm.transports[0].queues
        self._chains = [
            _Chains(self.vm.ram, queues[queue], declared(kind).shape_of(queue))
            for queue in declared(kind).queues
        ]

    def _devices(self, directory: Path) -> dict[str, Any]:
        return {"rngs": [], "planned": ((self._kind, declared(self._kind).plan(directory)),)}

    def begin(self) -> None:
        for chains in self._chains:
            chains.begin()

    def finish(self) -> None:
        for chains in self._chains:
            chains.finish()


def _at_work(kind: str) -> Callable[..., KindAtWork]:
    own = f"tests.device.{KINDS[kind][1]}.at_work"
    if importlib.util.find_spec(own) is None:
        return partial(DeclaredAtWork, kind)
    made: Callable[..., KindAtWork] = importlib.import_module(own).AtWork
    return made


KINDS_AT_WORK = {kind: _at_work(kind) for kind in KINDS}
