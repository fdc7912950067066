"""What serves a disk to the fake driver: the frame around it, and qemu-storage-daemon in it."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from tools.benchmarks.vhost_user import VhostUserError, VhostUserFrontEnd
from tools.fake_driver.driver_queue import DriverQueue
from tools.fake_driver.guest_ram import GuestRam

QUEUE_SIZE = 128
RAM_BYTES = 8 << 20
_RING_F_EVENT_IDX = 1 << 29
_F_VERSION_1 = 1 << 32
# What the fake driver speaks; whoever serves it negotiates these.
FEATURES = _F_VERSION_1 | _RING_F_EVENT_IDX
_ANSWERS_WITHIN_S = 30.0
_CAPACITY_BYTES = 8  # of config space, in sectors of 512 bytes


class DiskPeerError(Exception):
    """A disk can't be served; the text says by whom and why."""


class DriverSide:
    """Memory, queue and eventfds of a driver without a guest; a context manager, which closes them."""

    def __init__(self) -> None:
        # It blocks as those do that main makes, so that a worker waits by reading it. QEMU changes that.
        self.kick_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.call_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.ram = GuestRam(RAM_BYTES)
        self.queue = DriverQueue(self.ram, 0, QUEUE_SIZE, (self.kick_fd, self.call_fd), event_idx=True)

    def close(self) -> None:
        """Lets go of everything."""
        self.ram.close()
        os.close(self.kick_fd)
        os.close(self.call_fd)


class DiskPeer(Protocol):
    """One way to serve a disk.

    Attributes:
        name: In a word.
    """

    name: str

    def description(self) -> list[str]:
        """The exact command, and the version.

        Raises:
            DiskPeerError: It isn't there.
        """

    def serving(self, disk: Path, driver: DriverSide, cpus: set[int]) -> AbstractContextManager[int]:
        """Serves the disk on these CPUs until the context ends; gives the pid of the process that does.

        Raises:
            DiskPeerError: It doesn't work.
        """


class StorageDaemon:
    """qemu-storage-daemon with one vhost-user-blk export, served by a thread of its own."""

    def __init__(self, program: str, aio: str) -> None:
        """Notes what to run.

        Args:
            program: The daemon.
            aio: How it reads the file: "threads" (a pool of them, its default) or "io_uring".
        """
        self.name = f"qemu-{aio}"
        self._program = program
        self._aio = aio

    def command(self, disk: str, listener: str) -> list[str]:
        """The command.

        Args:
            disk: The image's path.
            listener: The number of the descriptor that listens for the front end.
        """
        path = disk.replace(",", ",,")
        # Another's lock may outlive its process for a moment: the kernel takes a ring of io_uring down later.
        blockdev = f"driver=file,node-name=disk,filename={path},aio={self._aio},read-only=on,locking=off"
        export = "type=vhost-user-blk,id=export,node-name=disk,writable=off,num-queues=1,iothread=serving"
        address = f"addr.type=fd,addr.str={listener}"
        words = [self._program, "--object", "iothread,id=serving"]
        return [*words, "--blockdev", blockdev, "--export", f"{export},{address}"]

    def description(self) -> list[str]:
        """The command as a shell would take it, and the first line of what --version says."""
        program = shutil.which(self._program)
        if program is None:
            raise DiskPeerError(f"{self._program} isn't there: apt-get install -y qemu-system-common")
        asked = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        version = (asked.stdout.splitlines() or ["unknown (no answer to --version)"])[0]
        return [shlex.join([program, *self.command("{disk}", "{listener}")[1:]]), version]

    @contextmanager
    def serving(self, disk: Path, driver: DriverSide, cpus: set[int]) -> Iterator[int]:
        """See DiskPeer."""
        # It is handed a socket that listens already: whoever connects needs not wait for its start.
        with (
            tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as directory,
            tempfile.TemporaryFile("w+") as errors,
        ):
            path = f"{directory}/socket"
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen(1)
                process = self._start(disk, listener.fileno(), errors.fileno())
            try:
                connection = socket.socket(socket.AF_UNIX)
                connection.settimeout(_ANSWERS_WITHIN_S)
                connection.connect(path)
                with VhostUserFrontEnd(connection) as front_end:
                    front_end.negotiate(FEATURES)
                    self._check_capacity(disk, front_end)
                    front_end.start(driver.ram, driver.queue, driver.kick_fd, driver.call_fd)
                    for task in os.listdir(f"/proc/{process.pid}/task"):
                        os.sched_setaffinity(int(task), cpus)
                    yield process.pid
                    front_end.stop()
            except (VhostUserError, OSError) as error:
                errors.seek(0)
                raise DiskPeerError(f"{self.name}: {error} {errors.read().strip()}".strip()) from error
            finally:
                process.kill()
                process.wait()

    def _start(self, disk: Path, listener: int, errors: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self.command(str(disk), str(listener)),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=(listener,),
            )
        except OSError as error:
            raise DiskPeerError(f"{self.name}: can't run {self._program}: {error.strerror}") from error

    def _check_capacity(self, disk: Path, front_end: VhostUserFrontEnd) -> None:
        sectors = int.from_bytes(front_end.config(_CAPACITY_BYTES), "little")
        if sectors * 512 != disk.stat().st_size:
            raise DiskPeerError(f"{self.name} says that {disk} has {sectors} sectors")
