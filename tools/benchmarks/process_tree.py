"""The processes of one VMM, and the memory they hold beside the guest's own.

The guest's memory is told by its size: a mapping of at least half of it. Nothing else in a VMM that is
measured with 256 MiB or more is that large and in use (reserved address space has no pages).
"""

from __future__ import annotations

import os
import signal
import struct
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Documentation/admin-guide/mm/pagemap.rst.
_PAGEMAP_PRESENT = 1 << 63
_PAGEMAP_FRAME = (1 << 55) - 1
_KIB = 1024


@dataclass(frozen=True)
class TreeMemory:
    """What a process tree holds, in KiB, without the guest's memory.

    Attributes:
        processes: How many there are.
        pss: The kernel's proportional set size, summed: a page that others map too counts in part.
        private: Pages that no other process maps.
        alone: All pages of the tree, each once: what pss would be if nobody else mapped its files. None
            where this user may not see page frame numbers.
        page_tables: VmPTE, summed; the guest's part is in it.
        guest: What was left out as the guest's memory (pss).
    """

    processes: int
    pss: int
    private: int
    alone: int | None
    page_tables: int
    guest: int


@dataclass
class _Mapping:
    start: int
    end: int
    fields: dict[str, int]


def children_of(pid: int) -> list[int]:
    """The direct children of all threads of pid; none if it has gone."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def descendants_of(pid: int) -> list[int]:
    """All children of pid, theirs, and so on, parents first."""
    found: list[int] = []
    waiting = children_of(pid)
    while waiting:
        child = waiting.pop(0)
        found.append(child)
        waiting += children_of(child)
    return found


def freeze(pids: list[int]) -> None:
    """Stops processes where they are, so that what is read about them belongs to one moment."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            continue  # it ended first


def measure(pids: list[int], guest_memory_bytes: int) -> TreeMemory:
    """Adds up what the processes hold.

    Args:
        pids: All processes of one VMM, frozen.
        guest_memory_bytes: How much memory the guest was given.
    """
    pss = private = page_tables = guest = processes = 0
    frames: set[int] = set()
    frames_known = True
    for pid in pids:
        try:
            mappings = _mappings((_proc(pid) / "smaps").read_text())
            total = _fields((_proc(pid) / "smaps_rollup").read_text())
            status = _fields((_proc(pid) / "status").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended before it was frozen
        processes += 1
        page_tables += status.get("VmPTE", 0)
        pss += total["Pss"]
        private += _private(total)
        own = []
        for mapping in mappings:
            if mapping.end - mapping.start >= guest_memory_bytes // 2:
                pss -= mapping.fields["Pss"]
                private -= _private(mapping.fields)
                guest += mapping.fields["Pss"]
            elif mapping.fields["Rss"]:
                own.append(mapping)
        frames_known &= _add_frames(pid, own, frames)
    alone = len(frames) * _PAGE_BYTES // _KIB if frames_known else None
    return TreeMemory(processes, pss, private, alone, page_tables, guest)


def _proc(pid: int) -> Path:
    return Path(f"/proc/{pid}")


def _private(fields: dict[str, int]) -> int:
    return fields["Private_Clean"] + fields["Private_Dirty"]


def _fields(text: str) -> dict[str, int]:
    """The lines "Name:   123 kB" of a file in /proc."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB":
            found[words[0].rstrip(":")] = int(words[1])
    return found


def _mappings(smaps: str) -> list[_Mapping]:
    found: list[_Mapping] = []
    for line in smaps.splitlines():
        words = line.split()
        if not words[0].endswith(":"):  # a range begins a mapping; names of fields end with a colon
            start, end = (int(word, 16) for word in words[0].split("-"))
            found.append(_Mapping(start, end, {}))
        elif len(words) == 3 and words[2] == "kB":
            found[-1].fields[words[0].rstrip(":")] = int(words[1])
    return found


def _add_frames(pid: int, mappings: list[_Mapping], frames: set[int]) -> bool:
    """Adds the page frames behind mappings to frames; False if the kernel doesn't tell them."""
    with (_proc(pid) / "pagemap").open("rb", buffering=0) as pagemap:
        for mapping in mappings:
            pages = (mapping.end - mapping.start) // _PAGE_BYTES
            content = os.pread(pagemap.fileno(), pages * 8, mapping.start // _PAGE_BYTES * 8)
            for (entry,) in struct.iter_unpack("<Q", content):
                if not entry & _PAGEMAP_PRESENT:
                    continue
                frame = entry & _PAGEMAP_FRAME
                if frame == 0:  # hidden from those without CAP_SYS_ADMIN
                    return False
                frames.add(frame)
    return True
