"""What a VM may leave on its host: seen before and after, so that a difference is a leak."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmm_main.device_supervisor.own_children import own_children

PR_SET_CHILD_SUBREAPER = 36
GONE_WITHIN_S = 1.0


@contextmanager
def orphans_come_here() -> Iterator[None]:
    """Whatever outlives its parents becomes this process's child meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        assert libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


def host_traces(directory: Path) -> dict[str, set[str]]:
    """What there is now, by kind.

    Args:
        directory: Where the VM has its files: locks and sockets count that are of these.
    """
    inodes = {str(path.stat().st_ino): path.name for path in directory.rglob("*")}
    locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    sockets = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
    return {
        "mounts": set(Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()),
        "locks": {line.split(":", 1)[1] for line in locks if line.split(":")[-1].split()[0] in inodes},
        "sockets": {line.split()[-1] for line in sockets if str(directory) in line},
        "cgroups": {str(path) for path in Path("/sys/fs/cgroup").rglob("cgroup.procs")},
        "shared memory": {path.name for path in Path("/dev/shm").iterdir()},
        "files": {str(path) for path in directory.rglob("*")},
    }


def new_traces(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is there after and wasn't before."""
    return {kind: after[kind] - before[kind] for kind in after if after[kind] - before[kind]}


def reap_orphans(before: set[int]) -> list[str]:
    """Waits for the children that weren't there before; names (and ends) those that live on for too long."""
    expires = time.monotonic() + GONE_WITHIN_S
    survivors = []
    for pid in set(own_children() or ()) - before:
        pidfd = os.pidfd_open(pid)
        while os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG) is None:
            if time.monotonic() > expires:
                survivors.append(Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip())
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
                break
        os.close(pidfd)
    return survivors
