"""A device under attack: in its jail, or standalone under sanitizers. It must survive and answer."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import Protocol

from device_procs.device_module import DeviceModule
from device_procs.device_registry import module_of
from ipc.messages import Message
from tests.device.device_rig import HANGS_AFTER_S, DeviceRig
from tests.device.hostile_driver.attack import NUM
from tests.device.hostile_driver.attacked_memory import AttackedMemory
from tests.device.hostile_driver.declaration import DeclaredDevice, declared
from tests.device.zygote.zygote_rig import ZygoteRig
from tools.fake_driver.driver_queue import DriverQueue
from vmm_main.device_supervisor.openers import open_resource
from vmm_main.fd_sets import FdSets

EVENT_IDX = 1 << 29
# A driver that spoils used_event may get no call; a page has no event to wait for.
LOOKS_AGAIN_S = 0.01


class Victim(Protocol):
    """A device, its memory and the driver's side of its queues.

    Attributes:
        device: Its declaration.
        module: Its description.
        where: The directory with what it has of the host.
        memory: The guest's.
        queues: The driver's side of each.
        features: Offered.
    """

    device: DeclaredDevice
    module: DeviceModule
    where: Path
    memory: AttackedMemory
    queues: list[DriverQueue]
    features: int

    def set_up(self, index: int, features: int, **changes: int) -> None:
        """DRIVER_OK with one queue; its num, desc_gpa, avail_gpa and used_gpa as they are but for changes."""

    def kick(self, index: int) -> None:
        """Kicks a queue, wanted or not."""

    def mistake(self) -> str | None:
        """What the device has said of a mistake of the driver's since set_up(); doesn't wait."""

    def settle(self) -> None:
        """Waits until everything that the device had to say before now has been said."""

    def wait(self, index: int, timeout_s: float) -> None:
        """Waits until a queue's call comes, the device has something to say, or the time is over."""

    def reset(self) -> str | None:
        """The driver's reset, which must work; what the device had said of a mistake until then."""

    def check_alive(self) -> None:
        """Fails unless it is the process that was started, alive."""


class JailedVictim(DeviceRig):
    """A jailed device process of any registered kind, with attacked memory."""

    def __init__(self, kind: str, zygote: ZygoteRig, where: Path) -> None:
        """Makes it up to READY; what it needs of the host is in `where`."""
        self.device = declared(kind)
        self.where = where
        plan = self.device.plan(where)
        opened = [open_resource(resource, FdSets([])) for resource in plan.resources]
        zygote.limits = {**zygote.limits, "fsize": max((each.file_bytes for each in opened), default=0)}
        self.memory = AttackedMemory(len(plan.queue_sizes))
        super().__init__(module_of(kind), zygote.start, seccomp=zygote.seccomp, ram=self.memory)
        self.make_queues(*[NUM] * len(plan.queue_sizes))
        self.expect("BIRTH_CERTIFICATE")
        for each in opened:
            plan.config.update(each.facts)
        self.configure(plan.config, tuple(each.fd for each in opened))
        for each in opened:
            os.close(each.fd)
        while (message := self.next_message()).name == "LOG":
            pass
        assert message.name == "READY", message.fields
        self.features: int = message.fields["features"]
        self._mistake: str | None = None

    def set_up(self, index: int, features: int, **changes: int) -> None:
        """What main says, after its own checks were passed."""
        queue = self.queues[index]
        if self.inflight is not None:
            self.inflight.clear()
        rings = {name: getattr(queue, name) for name in ("num", "desc_gpa", "avail_gpa", "used_gpa")}
        rings.update(changes)
        self.send("SET_FEATURES", features=features)
        self.send("SET_VRING_NUM", index=index, num=rings.pop("num"))
        self.send("SET_VRING_ADDR", index=index, **rings)
        self.send("SET_VRING_BASE", index=index, base=0)
        self.send("SET_VRING_ENABLE", index=index, enable=True)

    def kick(self, index: int) -> None:
        os.eventfd_write(self.kick_fds[index], 1)

    def mistake(self) -> str | None:
        while (message := self.channel.receive()) is not None:
            self._hear(message)
        return self._mistake

    def _hear(self, message: Message) -> None:
        assert message.name in ("NEEDS_RESET", "LOG"), (message.name, message.fields)
        if message.name == "NEEDS_RESET":
            self._mistake = message.fields["reason"]

    def settle(self) -> None:
        self._ask("GET_METRICS", "METRICS")

    def _ask(self, name: str, answer: str) -> None:
        self.channel.send(Message(name, {}, self.channel.new_request_id()))
        while (message := self.next_message()).name != answer:
            self._hear(message)

    def wait(self, index: int, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self.call_fds[index], select.POLLIN)
        poll.register(self.channel.fileno(), select.POLLIN)
        for fd, _ in poll.poll(timeout_s * 1000):
            if fd == self.call_fds[index]:
                os.eventfd_read(fd)

    def reset(self) -> str | None:
        self._ask("RESET_DEVICE", "RESET_DONE")
        said, self._mistake = self._mistake, None
        return said

    def check_alive(self) -> None:
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        assert not poll.poll(0), f"the process has ended: {self.wait_for_end()}"


class Deadline:
    """Of one wait: it catches what hangs."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._expires = time.monotonic() + HANGS_AFTER_S

    def check(self) -> None:
        assert time.monotonic() < self._expires, f"{self._what} hangs"
