"""One process of the VM: what it is entitled to, and what it has, read once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .descriptors import Descriptor, read_descriptors
from .mappings import Mapping, read_mappings
from .process_files import GoneError, ProcessFiles

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
# <linux/sched.h>: threads that the kernel makes in a process for its own work, with none of its code.
_PF_IO_WORKER, _PF_USER_WORKER = 0x10, 0x4000


@dataclass(frozen=True)
class Thread:
    """One thread.

    Attributes:
        tid: Its number.
        status: The lines of its status, by name.
        is_kernels: Whether the kernel made it for its own work.
    """

    tid: int
    status: dict[str, str]
    is_kernels: bool


class Process:
    """What it has is read when it is first asked for, and raises UnreadableError or GoneError.

    Attributes:
        entitled: What query-process-entitlements says of it.
        files: Its /proc.
        certificate: What it has certified of itself, by certificate_fields(); None if it hasn't.
        certificate_fault: Why there is none.
    """

    def __init__(self, entitled: dict[str, Any]) -> None:
        self.entitled = entitled
        self.name: str = entitled["name"]
        self.role: str = entitled["role"]
        self.pid: int = entitled["pid"]
        self.files = ProcessFiles(self.pid)
        self.certificate: dict[str, Any] | None = None
        self.certificate_fault = "none"

    @cached_property
    def status(self) -> dict[str, str]:
        """The lines of its status, by name."""
        return _lines(self.files.text("status"))

    @cached_property
    def threads(self) -> list[Thread]:
        """All of them, the first one first."""
        found = []
        for name in sorted(self.files.names("task"), key=int):
            try:
                status = _lines(self.files.text(f"task/{name}/status"))
                flags = int(_stat_fields(self.files.text(f"task/{name}/stat"))[6])
            except GoneError:
                continue  # it has ended meanwhile
            found.append(Thread(int(name), status, bool(flags & (_PF_IO_WORKER | _PF_USER_WORKER))))
        return found

    @cached_property
    def parent_and_session(self) -> tuple[int, int]:
        """The numbers of both."""
        fields = _stat_fields(self.files.text("stat"))
        return int(fields[1]), int(fields[3])

    @cached_property
    def namespaces(self) -> dict[str, str]:
        """Each kind's link, such as "net:[4026532201]"."""
        return {kind: self.files.link(f"ns/{kind}") for kind in NAMESPACES}

    @cached_property
    def descriptors(self) -> list[Descriptor]:
        """Its open files."""
        return read_descriptors(self.files)

    @cached_property
    def mappings(self) -> list[Mapping]:
        """Its memory."""
        return read_mappings(self.files.text("maps"))

    @cached_property
    def limits(self) -> dict[str, tuple[float, float]]:
        """The soft and the hard limits, by name: "Max open files"; infinity for none."""
        found = {}
        for line in self.files.text("limits").splitlines()[1:]:
            soft, hard = (math.inf if word == "unlimited" else int(word) for word in line[25:].split()[:2])
            found[line[:25].strip()] = soft, hard
        return found

    @cached_property
    def page_tables_kib(self) -> int:
        """What the kernel has for its page tables; 0 once it has ended."""
        return _kib(self.status["VmPTE"]) if "VmPTE" in self.status else 0

    @cached_property
    def memory_kib(self) -> dict[str, int]:
        """Proportional, private and shared memory, and page tables, in KiB."""
        rollup = _lines(self.files.text("smaps_rollup"))
        return {
            "pss-kib": _kib(rollup["Pss"]),
            "private-kib": _kib(rollup["Private_Clean"]) + _kib(rollup["Private_Dirty"]),
            "shared-kib": _kib(rollup["Shared_Clean"]) + _kib(rollup["Shared_Dirty"]),
            "page-tables-kib": self.page_tables_kib,
        }


def _lines(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _stat_fields(text: str) -> list[str]:
    """What follows the name in stat: state, parent, group, session, ..."""
    return text.rpartition(")")[2].split()


def _kib(text: str) -> int:
    return int(text.split(maxsplit=1)[0])
