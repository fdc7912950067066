"""`tools/bench recovery`: SIGKILL of a disk's process under load, to the next request that is completed.

Main's real supervisor restarts a real, jailed process; the fake driver in C keeps reads with it meanwhile.
Runs in Bulkhead's own environment.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from device_procs.virtio_blk.module import MODULE, plan
from tools.fake_driver.disk_driver import lay_out_reads
from tools.fake_driver.driver_queue import DriverError, DriverQueue
from tools.fake_driver.guest_ram import GuestRam
from tools.setup.host_kind import host_kind
from vmm_main.device_supervisor.device_state import RUNNING
from vmm_main.device_supervisor.disk_image import open_disk_image
from vmm_main.device_supervisor.restart_policy import SHORT_LIFE_S
from vmm_main.device_supervisor.spawner import Spawner
from vmm_main.device_supervisor.supervised_device import SupervisedDevice
from vmm_main.device_supervisor.supervisor import DeviceSupervisor
from vmm_main.device_supervisor.uid_lease import UidLease, may_give_uids
from vmm_main.event_loop import EventLoop
from vmm_main.fd_sets import FdSets
from vmm_main.guest_memory import GuestMemory
from vmm_main.log import open_log_file
from vmm_main.virtio_mmio.virtio_device import VringSetup

BUDGET_MS = 50.0
STATUS_OVER_BUDGET = 1
STATUS_NOT_MEASURED = 2
DEPTH = 32
IMAGE_BYTES = 64 << 20
RAM_BYTES = 256 << 20
_QUEUE_SIZE = 256
_REQUESTS_AT_ONCE = 2000
_HANGS_AFTER_S = 30.0


class RecoveryError(Exception):
    """It couldn't be measured."""


class Load:
    """Keeps reads with the disk on a thread of its own, without Python for each of them."""

    def __init__(self, queue: DriverQueue) -> None:
        self._queue = queue
        self._stops = False
        self.error: BaseException | None = None
        self.requests = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stops:
                self._queue.run(_REQUESTS_AT_ONCE, DEPTH, _HANGS_AFTER_S)
                self.requests += _REQUESTS_AT_ONCE
        except (DriverError, TimeoutError) as error:
            self.error = error

    def check(self) -> None:
        """Passes on what went wrong: a request that came twice, or never."""
        if self.error is not None:
            raise RecoveryError(str(self.error)) from self.error

    def stop(self) -> None:
        """Waits for its end."""
        self._stops = True
        self._thread.join()


class Disk:
    """One disk under main's supervisor, whose loop runs while somebody waits here."""

    def __init__(self, image: Path, kills: int) -> None:
        """Starts it, as main does, and gives its driver's rings to it."""
        image.write_bytes(os.urandom(1 << 20) * (IMAGE_BYTES >> 20))
        self._loop = EventLoop()
        spawner = Spawner(own_uids=may_give_uids(), seccomp=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            spawner.request_zygote(theirs.fileno())
        lease = UidLease(None, 1)
        self._supervisor = DeviceSupervisor(
            self._loop, spawner, ours.detach(), lease, seccomp=True, restart_limit=kills + 1
        )
        self._supervisor.connect(self._hear, print)
        self.deaths = 0
        planned = plan({"drive": "d0"}, {"d0": {"id": "d0", "file": str(image)}})
        opened = open_disk_image(planned.resources[0], FdSets([]))
        self._supervisor.add(
            "disk", MODULE, planned, (opened,), on_death="restart", on_restart_limit="needs-reset"
        )
        self._memory = GuestMemory(RAM_BYTES, include_in_core=False)
        self._supervisor.configure_all(self._memory)
        self._supervisor.wait_ready()
        self._supervisor.resume()
        self.device: SupervisedDevice = self._supervisor.devices[0]
        self._ram = GuestRam(RAM_BYTES, fd=os.dup(self._memory.fd))
        eventfds = (self.device.kick_fds[0], self.device.call_fds[0])
        self.queue = DriverQueue(self._ram, 0, _QUEUE_SIZE, eventfds, event_idx=True)
        lay_out_reads(self._ram, self.queue, DEPTH, IMAGE_BYTES)
        queue = self.queue
        vring = VringSetup(0, queue.num, queue.desc_gpa, queue.avail_gpa, queue.used_gpa)
        self.device.activate(self.device.features, [vring])
        while self.device.state != RUNNING:
            self.turn(_HANGS_AFTER_S)

    def turn(self, timeout_s: float) -> None:
        """One turn of the supervisor's loop."""
        self._loop.run_once(timeout_s)

    @property
    def pid(self) -> int:
        """Its present process."""
        process = self.device.process
        if process is None or process.pid is None:
            raise RecoveryError(f"the disk has no process: it is {self.device.state}")
        return process.pid

    def _hear(self, event: str, _data: dict[str, Any]) -> None:
        """Once reaped, a process puts nothing into the used ring: what comes next is its successor's."""
        if event == "DEVICE_PROCESS_DIED":
            self.queue.mark()
            self.deaths += 1

    def close(self) -> None:
        """Ends it."""
        self._supervisor.close()
        self._ram.close()
        self._memory.close()
        self._loop.close()


def kill_once(disk: Disk, load: Load) -> float:
    """Kills the process after a good life; from then to the next completion, in ms."""
    until_s = time.monotonic() + SHORT_LIFE_S * 1.05  # a shorter one has its successor wait
    while (left_s := until_s - time.monotonic()) > 0:
        disk.turn(left_s)
    load.check()
    deaths = disk.deaths
    killed_ns = time.monotonic_ns()
    os.kill(disk.pid, signal.SIGKILL)
    expires_s = time.monotonic() + _HANGS_AFTER_S
    while disk.deaths == deaths or disk.queue.passed_ns is None:
        load.check()
        if time.monotonic() > expires_s:
            raise RecoveryError(f"no successor within {_HANGS_AFTER_S:g} s: {disk.device.last_cause}")
        disk.turn(0.001)
    return (disk.queue.passed_ns - killed_ns) / 1e6


def main(kills: int) -> int:
    """Measures and prints; returns the exit status."""
    load_now = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    print(f"host: {host_kind().sentence}")
    print(f"  {platform.system()} {platform.release()}, {os.cpu_count()} CPUs, load {load_now}")
    print(f"disk: {IMAGE_BYTES >> 20} MiB in the page cache, one queue; {DEPTH} reads of 4 KiB at a time")
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as directory:
        disk = Disk(Path(directory) / "image", kills)
        load = Load(disk.queue)
        try:
            samples = [kill_once(disk, load) for _ in range(kills)]
        except RecoveryError as error:
            print(f"tools/bench: {error}", file=sys.stderr)
            return STATUS_NOT_MEASURED
        finally:
            load.stop()
            disk.close()
    print(f"\n{load.requests} requests, none lost and none completed twice")
    print(f"raw: SIGKILL to the next used entry, in ms: {' '.join(f'{sample:.2f}' for sample in samples)}")
    middle = median(samples)
    kept = middle <= BUDGET_MS
    verdict = "within budget" if kept else "OVER BUDGET"
    print(f"budget: recovery: median of {kills} kills {middle:.2f} ms, at most {BUDGET_MS:g}: {verdict}")
    return 0 if kept else STATUS_OVER_BUDGET


def main_with_log(kills: int) -> int:
    """As main(); what the supervisor logs of each death is shown only if nothing could be measured."""
    with tempfile.NamedTemporaryFile("r", prefix="bulkhead-bench-", suffix=".log") as log:
        open_log_file(log.name)
        status = main(kills)
        if status == STATUS_NOT_MEASURED:
            print(log.read(), end="", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main_with_log(int(sys.argv[1])))
