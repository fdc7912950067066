"""Bulkhead's real main process, whose first device gets hostile processes when a test says so.

Started as the command is, with this in the environment: HOSTILE_KINDS, the path of a FIFO from which each
new process of the first device takes the name of its kind, a line each (none: its own kind);
HOSTILE_RESTARTS, how many there may be by policy; HOSTILE_LIBRARY, what calls_extension.py has compiled;
HOSTILE_LEAK, how many bytes and a descriptor main keeps of each of these processes (none, unless it is to be
found out).
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from vmm_main import start
from vmm_main.device_supervisor import device_start, restart_policy
from vmm_main.device_supervisor.spawner import Spawner
from vmm_main.device_supervisor.supervisor import DeviceSupervisor

if TYPE_CHECKING:
    from vmm_main.device_supervisor.device_process import DeviceProcess
    from vmm_main.device_supervisor.supervised_device import SupervisedDevice

KINDS = "tests.device.hostile_device.hostile_kinds"


class NamedOtherwise:
    """A device's description under the name of another kind."""

    def __init__(self, module: Any, kind: str) -> None:
        self._module = module
        self.kind = kind

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class HostileSupervisor(DeviceSupervisor):
    """Main's, whose first device gets processes of the kinds that the FIFO names."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._leak = int(os.environ.get("HOSTILE_LEAK", "0"))
        self._leaked: list[tuple[int, bytes]] = []
        self._kinds_fd = os.open(os.environ["HOSTILE_KINDS"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def make_process(self, device: SupervisedDevice, process: DeviceProcess) -> None:
        module = device.module
        name = _next_kind(self._kinds_fd) if device is self.devices[0] else ""
        if name and self._leak:
            self._leaked.append((os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), b"x" * self._leak))
        if name:
            device.module = NamedOtherwise(module, name)  # type: ignore[assignment]
        super().make_process(device, process)
        device.module = module


def _next_kind(fd: int) -> str:
    """Takes a line, or nothing if there is none."""
    name = b""
    try:
        while (byte := os.read(fd, 1)) not in (b"", b"\n"):
            name += byte
    except BlockingIOError:
        pass  # its own kind
    return name.decode()


def apply() -> None:
    """Has main make its supervisor and its spawner so."""
    restarts = int(os.environ["HOSTILE_RESTARTS"])
    restart_policy.SHORT_LIFE_S = 0.0  # every life counts as a long one
    vars(device_start)["DeviceSupervisor"] = partial(HostileSupervisor, restart_limit=restarts)
    library = os.environ["HOSTILE_LIBRARY"]
    zygote_options = ("-X", f"bulkhead_extra_kinds={KINDS}", "-X", f"hostile_calls_library={library}")
    vars(device_start)["Spawner"] = partial(Spawner, zygote_options=zygote_options)


if __name__ == "__main__":
    apply()
    sys.exit(start.main(sys.argv[1:]))
