"""A VM without KVM: main's real supervisor on a thread of its own, and transports that a test drives."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from device_procs.device_module import DevicePlan
from device_procs.device_registry import module_of
from tests.device.fake_transport import FakeTransport
from tools.fake_driver.guest_ram import GuestRam
from vmm_main.device_supervisor.disk_image import open_disk_image
from vmm_main.device_supervisor.opened_resource import OpenedResource
from vmm_main.device_supervisor.openers import open_resource
from vmm_main.device_supervisor.spawner import Spawner
from vmm_main.device_supervisor.supervised_device import SupervisedDevice
from vmm_main.device_supervisor.supervisor import DeviceSupervisor
from vmm_main.device_supervisor.uid_lease import UidLease, may_give_uids
from vmm_main.event_loop import EventLoop
from vmm_main.fd_sets import FdSets
from vmm_main.guest_memory import GuestMemory
from vmm_main.qmp.commands import device_processes
from vmm_main.qmp.value_check import check_value

HANGS_AFTER_S = 30.0
RAM_BYTES = 16 << 20
_EVENTS = {event.name: event.data for event in device_processes.TABLE.events}

Result = TypeVar("Result")


class SupervisedVm:
    """A started VM: its devices are READY, and its CPUs are said to run.

    Attributes:
        supervisor: Main's; to be called on its own thread only, by call().
        events: Those for QMP, as (name, data), in their order.
        pauses: Why the VM was to be paused.
    """

    def __init__(
        self,
        lock_file: Path,
        rngs: list[dict[str, Any]],
        *,
        drives: tuple[dict[str, Any], ...] = (),
        planned: tuple[tuple[str, DevicePlan], ...] = (),
        seccomp: bool = True,
        on_death: str = "restart",
        on_restart_limit: str = "stop",
        zygote_options: tuple[str, ...] = (),
        **limits: Any,
    ) -> None:
        """Starts a VM.

        Args:
            lock_file: Where uids are leased.
            rngs: Each the values of its -device's keys.
            drives: Each the values of its -drive's keys, but for the id; a disk shows it.
            planned: Devices of any kinds, each its kind and its plan.
            seccomp: Whether there are filters.
            on_death: Of all devices.
            on_restart_limit: The same.
            zygote_options: Of its zygotes' Python.
            limits: Others of DeviceSupervisor's.
        """
        self._drives = drives
        self._planned = planned
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.pauses: list[str] = []
        self._changed = threading.Condition()
        self._zygote_options = zygote_options
        self._limits = limits
        self._policies = {"on_death": on_death, "on_restart_limit": on_restart_limit}
        self._started: list[BaseException] = []
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(lock_file, rngs, seccomp))
        self._thread.start()
        self._is_up.wait()
        if self._started:
            raise self._started[0]
        self.ram = GuestRam(RAM_BYTES, fd=os.dup(self._memory.fd))
        self.transports = [
            FakeTransport(device, self.ram, number) for number, device in enumerate(self.supervisor.devices)
        ]

    def _run(self, lock_file: Path, rngs: list[dict[str, Any]], seccomp: bool) -> None:
        try:
            self._start(lock_file, rngs, seccomp)
        except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
            self._started.append(error)
            self._end()
            return
        finally:
            self._is_up.set()
        self._loop.run()
        self._end()

    def _end(self) -> None:
        for owner in ("supervisor", "_memory", "_loop"):
            if hasattr(self, owner):
                getattr(self, owner).close()

    def _start(self, lock_file: Path, rngs: list[dict[str, Any]], seccomp: bool) -> None:
        """What main does, in its order."""
        own_uids = may_give_uids()
        spawner = Spawner(own_uids=own_uids, seccomp=seccomp, zygote_options=self._zygote_options)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            spawner.request_zygote(theirs.fileno())
        self._loop = EventLoop()
        lease = UidLease(None, len(rngs) + len(self._drives) + len(self._planned), str(lock_file))
        self.supervisor = DeviceSupervisor(
            self._loop, spawner, ours.detach(), lease, seccomp=seccomp, **self._limits
        )
        self.supervisor.connect(self._event, self._pause)
        objects = {"r0": {"qom-type": "rng-random", "id": "r0", "filename": "/dev/urandom"}}
        module = module_of("virtio-rng")
        for number, values in enumerate(rngs):
            plan = module.plan({"rng": "r0", **values}, objects)
            source = os.open(plan.resources[0].path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self.supervisor.add(f"rng{number}", module, plan, (OpenedResource(source),), **self._policies)
        self._add_disks()
        for number, (kind, plan) in enumerate(self._planned):
            opened = tuple(open_resource(resource, FdSets([])) for resource in plan.resources)
            self.supervisor.add(f"planned{number}", module_of(kind), plan, opened, **self._policies)
        self._memory = GuestMemory(RAM_BYTES, include_in_core=False)
        self.supervisor.configure_all(self._memory)
        self.supervisor.wait_ready()
        self.supervisor.resume()

    def _add_disks(self) -> None:
        module = module_of("virtio-blk")
        for number, values in enumerate(self._drives):
            plan = module.plan({"drive": "d"}, {"d": {"id": "d", **values}})
            opened = open_disk_image(plan.resources[0], FdSets([]))
            self.supervisor.add(f"disk{number}", module, plan, (opened,), **self._policies)

    def _event(self, name: str, data: dict[str, Any]) -> None:
        """Takes an event as QMP would, which promises its clients names and types."""
        check_value(data, _EVENTS[name], "")
        with self._changed:
            self.events.append((name, data))
            self._changed.notify_all()

    def _pause(self, reason: str) -> None:
        with self._changed:
            self.pauses.append(reason)
            self._changed.notify_all()

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Waits for something that events or pauses tell."""
        with self._changed:
            assert self._changed.wait_for(is_so, HANGS_AFTER_S), (self.events, self.pauses)

    def call(self, function: Callable[[], Result]) -> Result:
        """Runs a function on main's thread."""
        results: list[Result] = []
        errors: list[BaseException] = []
        done = threading.Event()

        def run() -> None:
            try:
                results.append(function())
            except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
                errors.append(error)
            done.set()

        self._loop.call_soon(run)
        assert done.wait(HANGS_AFTER_S), "main's thread hangs"
        if errors:
            raise errors[0]
        return results[0]

    def pid(self, number: int = 0) -> int:
        """Of a device's current process."""
        process = self.device(number).process
        assert process is not None
        assert process.pid is not None
        return process.pid

    def device(self, number: int = 0) -> SupervisedDevice:
        return self.supervisor.devices[number]

    def wait_for_state(self, state: str, number: int = 0) -> None:
        expires = time.monotonic() + HANGS_AFTER_S
        while self.device(number).state != state:
            assert time.monotonic() < expires, f"{self.device(number).state} instead of {state}"

    def close(self) -> None:
        """Ends the VM as main does."""
        self._loop.call_soon(self._loop.stop)
        self._thread.join()
        self.ram.close()
