"""A process's memory: what is mapped, from where, and whether others may have it too."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mapping:
    """One.

    Attributes:
        bytes: How large it is.
        permissions: As /proc/PID/maps has them: "rw-s".
        device: Of its file; 0 without one.
        inode: Of its file; 0 without one.
        path: Of its file, or the kernel's name for it: "[heap]".
    """

    bytes: int
    permissions: str
    device: int
    inode: int
    path: str

    @property
    def is_shared(self) -> bool:
        """Whether what is written there is seen by others that map the same."""
        return self.permissions[3] == "s"

    @property
    def is_executable(self) -> bool:
        """Whether it is code."""
        return self.permissions[2] == "x"

    @property
    def is_writable(self) -> bool:
        """Whether it can be written to."""
        return self.permissions[1] == "w"

    def is_the(self, entitled: dict[str, Any]) -> bool:
        """Whether it is of the file that a SharedMemoryEntitlement means."""
        return (self.device, self.inode) == (entitled["device"], entitled["inode"])

    def __str__(self) -> str:
        return f"{self.permissions} {self.path or 'anonymous'} ({self.bytes >> 10} KiB)"


def read_mappings(maps: str) -> list[Mapping]:
    """The lines of /proc/PID/maps."""
    found = []
    for line in maps.splitlines():
        span, permissions, _, device, inode, *path = line.split(None, 5)
        start, end = (int(word, 16) for word in span.split("-"))
        major, minor = (int(word, 16) for word in device.split(":"))
        name = path[0] if path else ""
        found.append(Mapping(end - start, permissions, os.makedev(major, minor), int(inode), name))
    return found
