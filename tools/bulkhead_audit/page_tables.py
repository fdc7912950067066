"""The kernel's memory for a process's page tables, which no other figure of its memory contains.

x86_64 and AArch64 have a page of entries (4 KiB) for each 2 MiB of addresses that are used, and one above
for each GiB: 2 MiB for a GiB of guest memory, which main and every device map once. Memory that is used
sparsely, a page here and a page there, has as much in tables as it holds itself. No limit of the kernel's
counts them, so here is one.
"""

from __future__ import annotations

from collections.abc import Iterator

from .finding import Finding, judge
from .process import Process
from .vm import Vm

_TABLE_KIB = 4
_OF_A_TABLE, _OF_A_DIRECTORY = 2 << 20, 1 << 30
# For program, libraries, heap and stack. Measured with 2 to 254 CPUs: main 76 to 296 KiB, less than one of
# it for a thread; spawner 24, zygote and devices at most 80.
_OWN_KIB = {"main": 512, "spawner": 128, "zygote": 256, "device": 256}
_THREAD_KIB = 16  # a stack of its own, which may lie across a border, and what malloc keeps for it


def page_tables(process: Process, _vm: Vm) -> Iterator[Finding]:
    """At most what the memory that it is entitled to can need."""
    most, found = entitled_kib(process), process.page_tables_kib
    yield judge("page tables", f"at most {most} KiB", f"{found} KiB", is_allowed=found <= most)


def entitled_kib(process: Process) -> int:
    """For what it shares, for its own memory, for its threads."""
    entitled = process.entitled
    kib: int = _OWN_KIB[process.role] + sum(_THREAD_KIB * kind["most"] for kind in entitled["threads"])
    kib += sum(_tables_kib(memory["bytes"]) for memory in entitled["shared-memory"])
    if process.role == "device":
        kib += _tables_kib(entitled["limits"]["data"])
    return kib


def _tables_kib(size: int) -> int:
    """Of memory that is used densely, and lies across a border at each end."""
    return _TABLE_KIB * (-(-size // _OF_A_TABLE) + -(-size // _OF_A_DIRECTORY) + 2)
