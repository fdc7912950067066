"""The birth certificate: what a device process reads of itself in /proc/self once it is jailed."""

from __future__ import annotations

import posix as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_READ_BYTES = 64 << 10
# By name: once its uid has changed, a process may look into /proc/self/ns, but not list it.
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


def read_certificate(proc_fd: int, landlock_version: int) -> dict[str, Any]:
    """The fields of BIRTH_CERTIFICATE (ipc/messages.py).

    Args:
        proc_fd: The process's own folder in /proc, opened before its root was taken away. It and what is
            opened for the reading aren't told: they are closed when the process is given anything.
        landlock_version: What will be in force then; 0 for nothing.

    Raises:
        OSError: Something can't be read.
    """
    return {
        "status": _read(proc_fd, "status"),
        "uid_map": _read(proc_fd, "uid_map"),
        "gid_map": _read(proc_fd, "gid_map"),
        "namespaces": [os.readlink(f"ns/{name}", dir_fd=proc_fd) for name in _NAMESPACES],
        "descriptors": _descriptors(proc_fd),
        "mounts": _read(proc_fd, "mountinfo"),
        "limits": _read(proc_fd, "limits"),
        "landlock": landlock_version,
    }


def _descriptors(proc_fd: int) -> list[dict[str, Any]]:
    folder = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc_fd)
    try:
        numbers = sorted(map(int, os.listdir(folder)))
    finally:
        os.close(folder)
    found = []
    for number in numbers:
        if number != proc_fd:
            try:
                found.append({"fd": number, "link": os.readlink(f"fd/{number}", dir_fd=proc_fd)})
            except FileNotFoundError:
                pass  # the folder itself, and listdir's copy of it
    return found


def _read(proc_fd: int, name: str) -> str:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    try:
        return os.read(fd, _READ_BYTES).decode("utf-8", "backslashreplace")
    finally:
        os.close(fd)
