"""Bulkhead's real main process with everything but KVM: its vCPU is whoever writes to its driver socket.

Started as the command is, with two descriptors in the environment: HOSTILE_DRIVER, a SOCK_SEQPACKET
socket, and HOSTILE_KINDS, the reading end of a pipe from which each new process of the first device takes the
name of its kind, a line each; none means its own kind. HOSTILE_LIMITS is a map of what is to be otherwise
than in a real VM: "restarts" and deadlines. HOSTILE_LIBRARY is what calls_extension.py has compiled.
"""

from __future__ import annotations

import array
import json
import os
import socket
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from device_procs.device_registry import module_of
from vmm_main import start
from vmm_main.device_supervisor import device_start, restart_policy
from vmm_main.device_supervisor.deadlines import Deadlines
from vmm_main.device_supervisor.spawner import Spawner
from vmm_main.device_supervisor.supervisor import DeviceSupervisor
from vmm_main.guest_memory import GuestMemory
from vmm_main.machine import machine
from vmm_main.virtio_mmio.virtio_device import VringSetup

if TYPE_CHECKING:
    from vmm_main.device_supervisor.supervised_device import SupervisedDevice

RAM_BYTES = 16 << 20
KINDS = "tests.device.hostile_device.hostile_kinds"
_PACKET_BYTES = 1 << 16


class KindInTurn:
    """A device's description that names another kind for its next process, if the pipe has one."""

    def __init__(self, module: Any, pipe_fd: int) -> None:
        self._module = module
        self._pipe_fd = pipe_fd
        os.set_blocking(pipe_fd, False)

    @property
    def kind(self) -> str:
        """Asked for once per process."""
        name = b""
        try:
            while (byte := os.read(self._pipe_fd, 1)) not in (b"", b"\n"):
                name += byte
        except BlockingIOError:
            pass  # nothing is written: its own
        return name.decode() or str(self._module.kind)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class RemoteTransport:
    """A transport whose registers are in another process: it tells what the device has shown last."""

    def __init__(self, device: SupervisedDevice) -> None:
        self.device = device
        self.needs = False
        self.config_changes = 0
        device.transport = self

    def needs_reset(self) -> None:
        """The device sets DEVICE_NEEDS_RESET."""
        self.needs = True

    def config_changed(self, config: bytes) -> None:
        """The configuration interrupt."""
        self.config_changes += 1

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Does what a driver asks for, on the thread that stands for its CPU; returns what it sees."""
        answer: dict[str, Any] = {}
        if order["do"] == "driver_ok":
            vrings = [VringSetup(*vring) for vring in order["vrings"]]
            self.device.activate(order["features"], vrings)
        elif order["do"] == "reset":
            answer["done"] = self.device.reset()
            self.needs = False
        elif order["do"] == "write_config":
            self.device.write_config(order["offset"], bytes.fromhex(order["data"]))
        return {
            **answer,
            "needs_reset": self.needs,
            "config_changes": self.config_changes,
            "features": self.device.features,
            "config": self.device.config_space.hex(),
            "queues": list(self.device.queue_max_sizes),
        }


class BoardWithoutKvm:
    """Stands for MicroVm: guest memory, transports, and a thread that does what the driver socket says."""

    def __init__(self, *_arguments: Any, devices: list[SupervisedDevice], **_options: Any) -> None:
        self.memory = GuestMemory(RAM_BYTES, include_in_core=False)
        self.uart = None
        self.vcpus: tuple[()] = ()
        self._transports = [RemoteTransport(device) for device in devices]
        self._devices = devices
        self._socket = socket.socket(fileno=int(os.environ["HOSTILE_DRIVER"]))
        self._thread: threading.Thread | None = None

    def power_on(self) -> None:
        """Its CPU begins to run when the driver socket says something."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while packet := self._socket.recv(_PACKET_BYTES):
            order = json.loads(packet)
            fds: list[int] = []
            if order["do"] == "descriptors":
                answer: dict[str, Any] = {}
                fds = [self.memory.fd]
                for device in self._devices:
                    fds += [*device.kick_fds, *device.call_fds]
            else:
                answer = self._transports[order["device"]].obey(order)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            self._socket.sendmsg([json.dumps(answer).encode()], rights)

    def reset_devices(self) -> None:
        """As at a reboot: on the main thread."""
        for transport in self._transports:
            assert transport.device.reset()
            transport.needs = False

    def park(self) -> None:
        """The driver asks for nothing while the VM is stopped: its tests see to that."""

    ask_to_park = hold_clock = resume = power_off = park

    def close(self) -> None:
        """Ends it; its thread ends with the process."""
        self.memory.close()


def _name_kinds() -> None:
    """Has the first device ask the pipe for the kind of each of its processes."""
    modules: list[Any] = []

    def module_in_turn(kind: str) -> Any:
        found: Any = module_of(kind)
        modules.append(found if modules else KindInTurn(found, int(os.environ["HOSTILE_KINDS"])))
        return modules[-1]

    vars(device_start)["module_of"] = module_in_turn


def _apply_limits() -> None:
    limits = json.loads(os.environ["HOSTILE_LIMITS"])
    deadlines = Deadlines()
    options: dict[str, Any] = {"deadlines": deadlines}
    for name, value in limits.items():
        if name == "restarts":
            options["restart_limit"] = value
        else:
            setattr(deadlines, name, value)
    restart_policy.SHORT_LIFE_S = 0.0  # every life counts as a long one
    vars(device_start)["DeviceSupervisor"] = partial(DeviceSupervisor, **options)
    library = os.environ["HOSTILE_LIBRARY"]
    zygote_options = ("-X", f"bulkhead_extra_kinds={KINDS}", "-X", f"hostile_library={library}")
    vars(device_start)["Spawner"] = partial(Spawner, zygote_options=zygote_options)


def main() -> int:
    """Runs the VM."""
    for name in ("HOSTILE_DRIVER", "HOSTILE_KINDS"):
        os.set_inheritable(int(os.environ[name]), False)
    _name_kinds()
    _apply_limits()
    vars(machine)["MicroVm"] = BoardWithoutKvm
    return start.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
