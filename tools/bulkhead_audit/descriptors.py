"""A process's open files, told by what they are in the kernel."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import Any

from .process_files import GoneError, ProcessFiles

_ANONYMOUS = "anon_inode:"
EVENTFD = "anon_inode:[eventfd]"
_PIDFD = "anon_inode:[pidfd]"
IO_URING = "anon_inode:[io_uring]"
_ACCESS = {os.O_RDONLY: "r", os.O_WRONLY: "w", os.O_RDWR: "rw"}
_NULL_DEVICE = os.makedev(1, 3)
_KVM_DEVICE = os.makedev(10, 232)
_DEAD = -1
_SOCKET = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True)
class Descriptor:
    """One.

    Attributes:
        number: Its number.
        link: What /proc calls it.
        kind: The same, but that /dev/kvm is that wherever it is.
        access: "r", "w" or "rw"; "" for one that was opened as a mere place (O_PATH).
        closes_on_exec: Whether it does; one that doesn't may have come over an exec.
        device: Of its inode.
        inode: Of a socket, the one in its link.
        is_null: Whether it is /dev/null.
        eventfd_id: The kernel's number, if it is an eventfd.
        pidfd_of: The process, if it is a pidfd.
        registered: What a ring of io_uring has registered: as good as open, and seen nowhere else.
    """

    number: int
    link: str
    kind: str
    access: str
    closes_on_exec: bool
    device: int
    inode: int
    is_null: bool
    eventfd_id: int | None
    pidfd_of: int | None
    registered: tuple[str, ...]

    def is_the(self, entitled: dict[str, Any]) -> bool:
        """Whether it is the one that a DescriptorEntitlement means."""
        if "eventfd-id" in entitled:
            return self.link == EVENTFD and self.eventfd_id == entitled["eventfd-id"]
        if "device" in entitled:
            if self.link.startswith(_ANONYMOUS):
                return False  # all of them are one inode
            return (self.device, self.inode) == (entitled["device"], entitled["inode"])
        return self.link == f"socket:[{entitled['inode']}]"

    @property
    def identity(self) -> tuple[int, int, int | None]:
        """What tells it from others, but not from another one of the same file."""
        return self.device, self.inode, self.eventfd_id

    @property
    def is_of_a_dead_process(self) -> bool:
        """Whether it is a pidfd whose process is reaped."""
        return self.pidfd_of == _DEAD

    def __str__(self) -> str:
        numbers = (self.eventfd_id, self.pidfd_of)
        number = "".join(f" {number}" for number in numbers if number is not None)
        return f"{self.number} -> {self.link}{number} ({self.access or 'path only'})"


def read_descriptors(files: ProcessFiles) -> list[Descriptor]:
    """All of a process's, by number."""
    found = []
    for name in sorted(files.names("fd"), key=int):
        try:
            found.append(_read(files, name))
        except GoneError:
            continue  # closed meanwhile
    return found


def _read(files: ProcessFiles, name: str) -> Descriptor:
    link, known, info = files.link(f"fd/{name}"), files.stat(f"fd/{name}"), files.text(f"fdinfo/{name}")
    flags = int(_field(info, "flags"), 8)
    socket = _SOCKET.fullmatch(link)
    device = known.st_rdev if stat.S_ISCHR(known.st_mode) else 0
    return Descriptor(
        number=int(name),
        link=link,
        kind="/dev/kvm" if device == _KVM_DEVICE else link,
        access="" if flags & os.O_PATH else _ACCESS.get(flags & os.O_ACCMODE, ""),
        closes_on_exec=bool(flags & os.O_CLOEXEC),
        device=known.st_dev,
        inode=known.st_ino if socket is None else int(socket[1]),
        is_null=device == _NULL_DEVICE,
        eventfd_id=int(_field(info, "eventfd-id")) if link == EVENTFD else None,
        pidfd_of=int(_field(info, "Pid")) if link == _PIDFD else None,
        registered=_registered(info) if link == IO_URING else (),
    )


def _field(info: str, name: str) -> str:
    return info.partition(f"{name}:")[2].split("\n", 1)[0].strip()


def _registered(info: str) -> tuple[str, ...]:
    """The lines "  0: /path" that follow "UserFiles:"; one without a name for each that isn't named."""
    count, _, rest = info.partition("UserFiles:")[2].partition("\n")
    names = []
    for line in rest.splitlines():
        place, _, name = line.strip().partition(": ")
        if not place.isdecimal():
            break
        names.append(name)
    names += ["(not named)"] * (int(count or 0) - len(names))
    return tuple(name for name in names if name != "<none>")
