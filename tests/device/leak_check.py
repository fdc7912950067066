"""What this process holds of the host: compared before and after, so that what is left over is named."""

from __future__ import annotations

import os
from pathlib import Path

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


def holdings() -> set[str]:
    """Descriptors (locks are theirs), children with their namespaces, mounts, shared memory: a line each."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"descriptor {fd}: {os.readlink(f'/proc/self/fd/{fd}')}")
        except FileNotFoundError:
            pass  # what lists them
    for child in _children():
        found.add(f"process {child}")
        for name in _NAMESPACES:
            try:
                found.add(f"namespace {os.readlink(f'/proc/{child}/ns/{name}')}")
            except OSError:
                pass  # a process that has ended has none any more; the process itself is still listed
    found |= {f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    found |= {f"shared memory {path}" for path in Path("/dev/shm").iterdir() if "bulkhead" in path.name}
    return found


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found
