"""What a VM holds of the host while it lives, and what it may not leave behind."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools.soaking.waiting import wait_until

_F_OFD_SETLK = 37
_FLOCK = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, pid


@dataclass(frozen=True)
class Vitals:
    """What of main must not grow."""

    descriptors: int
    threads: int
    own_kib: int

    def grown(self, since: Vitals, own_kib: int) -> list[str]:
        """What is more than it was, in words; of memory, by more than so much."""
        found = []
        if self.descriptors > since.descriptors:
            found.append(f"main has {self.descriptors} descriptors, and had {since.descriptors}")
        if self.threads > since.threads:
            found.append(f"main has {self.threads} threads, and had {since.threads}")
        if self.own_kib > since.own_kib + own_kib:
            found.append(f"main has {self.own_kib} KiB of memory of its own, and had {since.own_kib}")
        return found


def vitals_of(pid: int) -> Vitals:
    """Those of a process, now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return Vitals(descriptors, int(fields["Threads"]), int(fields["RssAnon"].split()[0]))


def mounts_and_memory() -> set[str]:
    """This process's mounts, and what of Bulkhead's is in /dev/shm."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    shared = [path.name for path in Path("/dev/shm").iterdir() if "bulkhead" in path.name]
    return {*(f"mount {line}" for line in mounts), *(f"/dev/shm/{name}" for name in shared)}


def left_in(directory: Path, allowed: Iterable[str]) -> list[str]:
    """Files that shouldn't be there."""
    return [f"{path} is left" for path in directory.iterdir() if path.name not in set(allowed)]


def stays_locked(image: Path, deadline_s: float) -> bool:
    """Whether a file is locked, and still is at a deadline: io_uring's rings end after their process."""
    return not wait_until(lambda: not is_locked(image), deadline_s)


def is_locked(image: Path) -> bool:
    """Whether somebody has a lock on a file."""
    fd = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.fcntl(fd, _F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return True
        raise
    finally:
        os.close(fd)
    return False
