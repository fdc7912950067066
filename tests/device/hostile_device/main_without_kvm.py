"""Bulkhead's real main process with everything but KVM: its vCPU is whoever writes to its driver socket.

Started as hostile_main.py is, with HOSTILE_DRIVER, the descriptor of a SOCK_SEQPACKET socket.
"""

from __future__ import annotations

import array
import json
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

from tests.device.hostile_device import hostile_main
from tests.device.hostile_device.scoreboard import RAM_BYTES
from vmm_main import start
from vmm_main.guest_memory import GuestMemory
from vmm_main.machine import machine
from vmm_main.virtio_mmio.virtio_device import VringSetup

if TYPE_CHECKING:
    from vmm_main.device_supervisor.supervised_device import SupervisedDevice

_PACKET_BYTES = 1 << 16


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


def main() -> int:
    """Runs the VM."""
    os.set_inheritable(int(os.environ["HOSTILE_DRIVER"]), False)
    hostile_main.apply()
    vars(machine)["MicroVm"] = BoardWithoutKvm
    return start.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
