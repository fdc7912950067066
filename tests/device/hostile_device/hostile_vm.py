"""A VM in a process of its own: real main, real QMP socket, real device processes; its driver is the test."""

from __future__ import annotations

import array
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from device_procs.device_registry import module_of
from tests.device.hostile_device import calls_extension
from tests.device.hostile_device.attack import Attack
from tests.device.hostile_device.neighbours import BLOCKS, RNG_LENGTH, Neighbours
from tests.device.hostile_device.qmp_watch import HANGS_AFTER_S, QmpEvents, QmpWatch
from tests.device.hostile_device.scoreboard import RAM_BYTES, Scoreboard
from tests.device.hostile_device.table import kind_name
from tests.device.virtio_blk.disk_load import BLOCK_BYTES
from tools.fake_driver.driver_queue import DriverQueue
from tools.fake_driver.guest_ram import GuestRam

CHECKOUT = Path(__file__).resolve().parents[3]
# The order of devices: the hostile one's driver is number 0.
BAD, DISK, RNG = range(3)
EVENT_IDX = 1 << 29
_QUEUE_SIZE = 64
# How long main waits for what it asks for: its own seconds would make a test of minutes.
SHORT = "quiesce_s=0.5,reset_s=0.5,last_breath_s=0.1"
# The same, for attacks that go on for as long as a test wants them to.
PATIENT = f"{SHORT},hang_s=3600"
ENOUGH = 1_000_000


def hostile_environment(fifo: Path, restarts: int, deadlines: str) -> dict[str, str]:
    """What hostile_main.py wants in its environment."""
    return {
        "HOSTILE_KINDS": str(fifo),
        "HOSTILE_RESTARTS": str(restarts),
        "BULKHEAD_DEADLINES": deadlines,
        "HOSTILE_LIBRARY": str(calls_extension.LIBRARY),
    }


class Driver:
    """The test's side of one device."""

    def __init__(self, vm: HostileVm, number: int, kicks: list[int], calls: list[int]) -> None:
        self._vm = vm
        self._number = number
        self._eventfds = list(zip(kicks, calls, strict=True))
        self.queues: list[DriverQueue] = []

    def order(self, what: str, **fields: Any) -> dict[str, Any]:
        """Has the CPU in main's process do something; returns what its driver sees then."""
        return self._vm.order(what, device=self._number, **fields)

    def driver_ok(self) -> None:
        """Negotiates, lays empty rings out, and sets DRIVER_OK."""
        features = self.order("look")["features"]
        self.queues = []
        for index, eventfds in enumerate(self._eventfds):
            os.set_blocking(eventfds[1], False)
            place = 4 * self._number + index
            event_idx = bool(features & EVENT_IDX)
            queue = DriverQueue(self._vm.ram, place, _QUEUE_SIZE, eventfds, event_idx=event_idx)
            queue.reset()
            self.queues.append(queue)
        vrings = [
            (index, queue.num, queue.desc_gpa, queue.avail_gpa, queue.used_gpa)
            for index, queue in enumerate(self.queues)
        ]
        self.order("driver_ok", features=features, vrings=vrings)

    def reset(self) -> None:
        """Writes 0 to Status, and waits."""
        assert self.order("reset")["done"]


class HostileVm:
    """The VM, with a device that is hostile when it is told to be.

    Attributes:
        qmp: A client that hears events.
        watch: Another one, which times answers.
    """

    def __init__(
        self,
        directory: Path,
        kind: str,
        *,
        policy: str = "",
        first: Attack | None = None,
        restarts: int = ENOUGH,
        deadlines: str = SHORT,
        leak_bytes: int = 0,
    ) -> None:
        """Starts it.

        Args:
            directory: An empty one.
            kind: Of the device that is attacked from.
            policy: More keys of its -device.
            first: What its first process does.
            restarts: How often it is restarted by policy.
            deadlines: Of main's.
            leak_bytes: Main keeps so many, and a descriptor, of each hostile process: a fault to be found.
        """
        self.kind = kind
        self.image, self.bad_image = directory / "image", directory / "bad"
        for image in (self.image, self.bad_image):
            image.write_bytes(bytes(BLOCKS * BLOCK_BYTES))
        self.log = directory / "log"
        (directory / "kernel").write_bytes(b"")
        os.mkfifo(directory / "kinds")
        self._kinds_fd = os.open(directory / "kinds", os.O_RDWR | os.O_CLOEXEC)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(HANGS_AFTER_S)
        if first is not None:
            self.name_next(first)
        environment = {
            **os.environ,
            "HOSTILE_DRIVER": str(theirs.fileno()),
            "HOSTILE_LEAK": str(leak_bytes),
            **hostile_environment(directory / "kinds", restarts, deadlines),
        }
        path = str(directory / "qmp")
        command = [
            *(sys.executable, "-m", "tests.device.hostile_device.main_without_kvm"),
            *("-kernel", str(directory / "kernel"), "-D", str(self.log)),
            *("-qmp", f"unix:{path},server,nowait"),
            *("-object", "rng-random,id=zeroes,filename=/dev/zero"),
            *self._bad_device(policy),
            *("-drive", f"id=good,file={self.image}", "-device", "virtio-blk-device,drive=good,id=disk"),
            *("-device", "virtio-rng-device,rng=zeroes,id=rng"),
        ]
        with theirs:
            self.process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env=environment,
                pass_fds=(theirs.fileno(),),
                stderr=subprocess.PIPE,
            )
        self._take_descriptors()
        self.qmp = QmpEvents(path)
        self.watch = QmpWatch(path)
        self.board = Scoreboard(self.ram)

    def _bad_device(self, policy: str) -> list[str]:
        """The hostile device's part of the command line, with what its module says it can't do without."""
        module = module_of(self.kind)
        device = f"{module.driver},id=bad{policy}"
        needed = [key.name for key in module.keys if key.required and key.kind == "id"]
        if not needed:
            return ["-device", device]
        device = f"{device},{needed[0]}=host"
        if module.refers_to == "-drive":
            return ["-drive", f"id=host,file={self.bad_image}", "-device", device]
        thing = module.objects[0]
        paths = "".join(f",{key.name}=/dev/zero" for key in thing.keys if key.kind == "path")
        return ["-object", f"{thing.name},id=host{paths}", "-device", device]

    def _take_descriptors(self) -> None:
        self._socket.send(json.dumps({"do": "descriptors"}).encode())
        packet, ancillary, _, _ = self._socket.recvmsg(1 << 16, socket.CMSG_SPACE(256 * 4))
        if not packet:
            self.process.wait()
            assert self.process.stderr is not None
            raise AssertionError(self.process.stderr.read().decode())
        fds = array.array("i")
        fds.frombytes(ancillary[0][2])
        memory_fd, *eventfds = fds
        self._eventfds = eventfds
        self.ram = GuestRam(RAM_BYTES, fd=memory_fd)
        self.drivers = []
        for number in range(3):
            count = len(self.order("look", device=number)["queues"])
            kicks, calls, eventfds = eventfds[:count], eventfds[count : 2 * count], eventfds[2 * count :]
            self.drivers.append(Driver(self, number, kicks, calls))

    def order(self, what: str, **fields: Any) -> dict[str, Any]:
        """Tells main's stand-in CPU something; returns its answer."""
        self._socket.send(json.dumps({"do": what, **fields}).encode())
        packet = self._socket.recv(1 << 16)
        assert packet, "main is gone"
        answer: dict[str, Any] = json.loads(packet)
        return answer

    def name_next(self, attack: Attack, times: int = 1) -> None:
        """Has the device's next processes make an attack."""
        os.write(self._kinds_fd, f"{kind_name(self.kind, attack)}\n".encode() * times)

    def neighbours(self) -> Neighbours:
        """The other devices, under load."""
        for driver in self.drivers[1:]:
            driver.driver_ok()
        rng = self.drivers[RNG].queues[0]
        rng.fill(RNG_LENGTH)
        return Neighbours(self.ram, self.drivers[DISK].queues[0], rng)

    def _bad(self) -> dict[str, Any]:
        (found,) = [each for each in self.qmp.ask("query-device-processes") if each["id"] == "bad"]
        return dict(found)

    def pid_or_none(self) -> int | None:
        """Of the hostile device's process, if there is one now."""
        pid: int | None = self._bad().get("pid")
        return pid

    def state(self) -> str:
        """Of the hostile device."""
        return str(self._bad()["state"])

    def restarts(self) -> int:
        """How often it was restarted."""
        return int(self._bad()["restarts"])

    # What main takes of the host.

    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory_kib(self) -> int:
        """Its own memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines()
        (line,) = [line for line in lines if line.startswith("RssAnon:")]
        return int(line.split()[1])

    def end(self) -> None:
        """Has the VM quit; it must end well, and without a word."""
        self.qmp.ask("quit")
        assert self.process.wait(HANGS_AFTER_S) == 0
        assert self.process.stderr is not None
        assert self.process.stderr.read() == b""

    def close(self) -> None:
        """Ends it, whatever it does, and closes all."""
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        self.qmp.close()
        self._socket.close()
        for fd in (self._kinds_fd, *self._eventfds):
            os.close(fd)
        self.ram.close()
