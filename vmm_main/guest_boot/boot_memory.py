"""The guest's memory as a boot loader sees it: what may be used, and what the guest is told of it."""

from __future__ import annotations

from vmm_main.machine.address_map import (
    CONVENTIONAL_MEMORY_END_GPA,
    EXTENDED_MEMORY_START_GPA,
    HIGH_RAM_START_GPA,
    LOW_RAM_END_GPA,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class BootMemory(Protocol):
        """What the loaders need of vmm_main.guest_memory.GuestMemory."""

        @property
        def size_bytes(self) -> int:
            """How much RAM the guest has."""

        def write(self, gpa: int, data: bytes | bytearray) -> None:
            """Copies data to guest memory; ValueError if that isn't all RAM."""

        def zero(self, gpa: int, length: int) -> None:
            """Fills with zeros; ValueError if that isn't all RAM."""

        def load_file(self, fd: int, file_offset: int, gpa: int, length: int) -> int:
            """Reads a file's bytes into guest memory, fewer than length where it ends before."""


# The types of a memory map's entries (ACPI 6.4 table 15.4; the PVH protocol uses the same numbers).
MEMORY_RAM = 1
MEMORY_RESERVED = 2

PAGE_SIZE = 0x1000


def low_ram_end_gpa(size_bytes: int) -> int:
    """Where RAM below the 32-bit hole ends."""
    return min(size_bytes, LOW_RAM_END_GPA)


def high_ram_end_gpa(size_bytes: int) -> int:
    """Where RAM above 4 GiB ends; 4 GiB when there is none."""
    return HIGH_RAM_START_GPA + max(0, size_bytes - LOW_RAM_END_GPA)


def memory_map(size_bytes: int) -> list[tuple[int, int, int]]:
    """The map the guest is given: (gpa, size in bytes, type), ascending."""
    entries = [
        (0, CONVENTIONAL_MEMORY_END_GPA, MEMORY_RAM),
        (
            CONVENTIONAL_MEMORY_END_GPA,
            EXTENDED_MEMORY_START_GPA - CONVENTIONAL_MEMORY_END_GPA,
            MEMORY_RESERVED,
        ),
        (
            EXTENDED_MEMORY_START_GPA,
            low_ram_end_gpa(size_bytes) - EXTENDED_MEMORY_START_GPA,
            MEMORY_RAM,
        ),
    ]
    if size_bytes > LOW_RAM_END_GPA:
        entries.append((HIGH_RAM_START_GPA, size_bytes - LOW_RAM_END_GPA, MEMORY_RAM))
    return entries
