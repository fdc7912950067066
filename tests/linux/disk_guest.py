"""A guest of Debian with disks to be tested, and what its VM says of them."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.linux.linux_guest import LinuxGuest
from tools.first_boot.serial_console import ConsoleError

WITHOUT_IO_URING = (sys.executable, "-m", "tests.device.virtio_blk.without_io_uring")
REQUESTS_DEADLINE_S = 60.0
# The kernel's own words for a request that a disk failed, at any level.
ERRORS = "dmesg | grep -E 'I/O error|Buffer I/O|EXT4-fs (error|warning)|critical|blk_update' || true"


@dataclass(frozen=True)
class GuestDisk:
    """A disk: its ids (of -drive and -device), its image, and further keys of both options."""

    name: str
    image: Path
    drive: str = ""
    device: str = ""

    def arguments(self) -> tuple[str, ...]:
        """As the command line has it."""
        drive = f"id={self.name},file={self.image},format=raw,if=none{self.drive}"
        device = f"virtio-blk-device,drive={self.name},id={self.name}{self.device}"
        return ("-drive", drive, "-device", device)


def empty_image(path: Path, size_bytes: int) -> Path:
    """Makes an image that is one hole."""
    with path.open("xb") as file:
        file.truncate(size_bytes)
    return path


def digest(path: Path, size_bytes: int = -1) -> str:
    """As sha256sum prints it; of the first size_bytes, or of all."""
    with path.open("rb") as file:
        return hashlib.sha256(file.read(size_bytes)).hexdigest()


def _cpu_time(thread: Path) -> str:
    """In user space and in the kernel, in ticks."""
    return " + ".join((thread / "stat").read_text().rpartition(")")[2].split()[11:13])


class DiskGuest:
    """The guest, whose shell prompts.

    Attributes:
        guest: The VM.
        nodes: The guest's name of each disk: /dev/vdb, ...
        kills: How many processes of disks were killed by kill().
        hits: How many of them held requests.
    """

    def __init__(self, guest: LinuxGuest, disks: Sequence[GuestDisk]) -> None:
        self.guest = guest
        self.nodes = {disk.name: f"/dev/vd{chr(ord('b') + index)}" for index, disk in enumerate(disks)}
        self.kills = self.hits = 0

    def run(self, command: str, deadline_s: float = 120.0) -> str:
        """A command's output in the guest's shell; it must succeed."""
        try:
            return self.guest.run(command, deadline_s)
        except ConsoleError as error:
            raise AssertionError(f"{error}\n{self._state()}") from error

    def status(self, command: str, deadline_s: float = 120.0) -> int:
        """A command's exit status in the guest's shell."""
        return self.guest.console.ask(command, deadline_s).status

    def begin(self, name: str, command: str) -> None:
        """Starts a command in the guest's background."""
        self.run(f"({{ {command}; }} >/run/{name}.said 2>&1; echo $? >/run/{name}.status) & disown")

    def end(self, name: str) -> str:
        """Waits for such a command, which must succeed; returns what it printed."""
        self.run(f"until [ -s /run/{name}.status ]; do sleep 0.1; done")
        said, status = self.run(f"cat /run/{name}.said"), self.run(f"cat /run/{name}.status")
        assert status == "0", said
        return said

    def metrics(self, name: str) -> dict[str, Any]:
        """What a disk's present process has counted."""
        answer = self.guest.monitor().cmd("query-device-metrics", id=name)
        assert isinstance(answer, dict)
        metrics: dict[str, Any] = answer["metrics"]
        return metrics

    def wait_for_requests(self, name: str, count: int) -> None:
        """Waits until a disk's present process has completed so many more."""
        begun = sum(self.completed(name))
        expires = time.monotonic() + REQUESTS_DEADLINE_S
        while sum(self.completed(name)) < begun + count:
            assert time.monotonic() < expires, f"{name} has completed nothing for long: {self._state()}"

    def _state(self) -> str:
        """What the host knows of a guest that hangs: a CPU that stands still, or a queue that does."""
        said = [self.guest.errors()]
        threads = sorted(Path(f"/proc/{self.guest.process.pid}/task").iterdir())
        for thread in threads:
            name, call = ((thread / file).read_text().strip() for file in ("comm", "syscall"))
            said.append(f"main's {name}, time used {_cpu_time(thread)}: {call}")
        for name in self.nodes:
            said.append(str(self.guest.monitor().cmd("query-device-metrics", id=name)))
        return "\n".join(said)

    def completed(self, name: str) -> list[int]:
        """How many requests of each queue a disk's present process has completed."""
        answer = self.guest.monitor().cmd("query-device-metrics", id=name)
        assert isinstance(answer, dict)
        return [int(queue["completed"]) for queue in answer["queues"]]

    def process(self, name: str) -> dict[str, Any]:
        """A disk's process, as query-device-processes tells."""
        answer = self.guest.monitor().cmd("query-device-processes")
        assert isinstance(answer, list)
        (found,) = [process for process in answer if process["id"] == name]
        return dict(found)

    def kill(self, name: str) -> None:
        """Kills a disk's process by SIGKILL, and waits for its successor."""
        self.guest.monitor()  # takes events from here on
        pid = self.process(name)["pid"]
        os.kill(pid, signal.SIGKILL)
        died = self.guest.wait_for_event("DEVICE_PROCESS_DIED")["data"]
        assert (died["id"], died["pid"], died["cause"]) == (name, pid, "killed by SIGKILL")
        assert died["action"] == "restart"
        restarted = self.guest.wait_for_event("DEVICE_PROCESS_RESTARTED")["data"]
        assert restarted["id"] == name
        self.kills += 1

    def count_hit(self, name: str) -> None:
        """Counts the last kill of a disk as a hit if its successor found requests in the in-flight log."""
        self.hits += self.metrics(name)["replayed"] > 0

    def errors(self) -> str:
        """What the guest's kernel has to say about failed requests."""
        return self.run(ERRORS)
