"""Bulkhead's disk for the fake driver: the real device, its worker under its filter, no main and no jail."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_module import Resource
from device_procs.device_runtime.queue_workers import QueueWorkers
from device_procs.virtio_blk.device import BlkDevice
from tools.benchmarks.disk_peer import FEATURES, DiskPeerError, DriverSide
from vmm_main.device_supervisor.disk_image import open_disk_image
from vmm_main.device_supervisor.inflight_memory import InflightMemory
from vmm_main.fd_sets import FdSets

_PROFILE = "virtio_blk_worker"
_PR_SET_NO_NEW_PRIVS = 38  # <linux/prctl.h>
_GIVES_UP_AFTER_S = 600


class NativeDisk:
    """A disk process of Bulkhead's, as `tools/bench doorbell` makes a null queue's."""

    name = "bulkhead"

    def description(self) -> list[str]:
        """What runs, and the version."""
        program = Path(sys.executable).parent / "bulkhead"
        asked = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)
        version = (asked.stdout.splitlines() or ["unknown (no answer to --version)"])[0]
        return [f"a disk's worker thread under {_PROFILE}, with io_uring and its in-flight log", version]

    @contextmanager
    def serving(self, disk: Path, driver: DriverSide, cpus: set[int]) -> Iterator[int]:
        """See DiskPeer."""
        ready, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                signal.alarm(_GIVES_UP_AFTER_S)
                os.close(ready)
                os.sched_setaffinity(0, cpus)
                _serve(disk, driver, tells)
            except BaseException as error:  # noqa: BLE001 (the end of the process: it is told)
                os.write(tells, f"{type(error).__name__}: {error}".encode())
            finally:
                os._exit(1)
        os.close(tells)
        try:
            with os.fdopen(ready, "rb") as told:
                engine = told.readline().decode("utf-8", "replace").strip()
                if engine != "io_uring":
                    raise DiskPeerError(f"{self.name}: {engine or 'the process has died'}")
                yield pid
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _serve(disk: Path, driver: DriverSide, tells: int) -> None:
    """Runs the device's side of the queue until the process is killed; tells its engine when it does."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise DiskPeerError(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    resource = Resource("disk-image", str(disk), f"the disk {disk}", writable=False, direct=False)
    opened = open_disk_image(resource, FdSets([]))
    config = {"read_only": True, "direct": False, "serial": b"", "queues": 1, **opened.facts}
    device = BlkDevice(config, opened.fd)
    device.set_features(FEATURES)
    memory = ffi.new("struct guest_memory *")
    error = lib.guest_memory_map(memory, driver.ram.fd, 0, driver.ram.size, 0, 1)
    if error < 0:
        raise DiskPeerError(f"guest memory: {os.strerror(-error)}")
    queue = driver.queue
    workers = QueueWorkers(
        device,
        memory,
        ffi.new("struct black_box *"),
        (driver.kick_fd,),
        (driver.call_fd,),
        profile=_PROFILE,
        inflight_fd=InflightMemory([queue.num]).fd,
    )
    workers.start()
    setup = workers.setups[0]
    setup.addresses.num = queue.num
    setup.addresses.desc_gpa = queue.desc_gpa
    setup.addresses.avail_gpa = queue.avail_gpa
    setup.addresses.used_gpa = queue.used_gpa
    setup.base = 0
    mistake = workers.enable(0, FEATURES)
    if mistake is not None:
        raise DiskPeerError(mistake)
    os.write(tells, f"{device.metrics()['engine']}\n".encode())
    while True:
        signal.pause()
