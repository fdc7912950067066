"""Bulkhead with stand-in devices in its virtio-mmio slots: as many as STAND_IN_DEVICES says."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.guest.stand_in_device import StandInDevice
from vmm_main import start
from vmm_main.event_loop import EventLoop
from vmm_main.machine import machine

if TYPE_CHECKING:
    from vmm_main.chardev.backend import ChardevBackend
    from vmm_main.fd_sets import FdSets
    from vmm_main.guest_memory import GuestMemory
    from vmm_main.vm_config import VmConfig


class StandInSupervisor:
    """What a machine asks of its devices' supervisor; these devices need none."""

    def __init__(self, loop: EventLoop, devices: int) -> None:
        self.loop = EventLoop()
        loop.nest(self.loop)
        self.devices = [StandInDevice(f"d{slot}", self.loop) for slot in range(devices)]

    def connect(self, emit: Callable[[str, dict[str, Any]], None], pause: Callable[[str], None]) -> None:
        pass

    def configure_all(self, memory: GuestMemory) -> None:
        for device in self.devices:
            device.memory = memory

    def wait_ready(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def quiesce(self) -> None:
        pass

    def begin_resets(self) -> None:
        pass


_Machine = machine.Machine


def machine_with_stand_ins(
    config: VmConfig,
    loop: EventLoop,
    chardevs: dict[str, ChardevBackend],
    fd_sets: FdSets,
    supervisor: object,
) -> machine.Machine:
    assert supervisor is None
    stand_in: Any = StandInSupervisor(loop, int(os.environ["STAND_IN_DEVICES"]))
    return _Machine(config, loop, chardevs, fd_sets, stand_in)


if __name__ == "__main__":
    vars(machine)["Machine"] = machine_with_stand_ins
    # Stand-ins have threads in main, and make them on vCPU threads: no filter allows that.
    vars(start)["confine_main"] = lambda *, seccomp: None
    sys.exit(start.main(sys.argv[1:]))
