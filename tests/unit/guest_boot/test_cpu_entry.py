"""The boot CPU's state: descriptors as a CPU would load them, page tables as it would walk them."""

from __future__ import annotations

import struct

import pytest

from tests.unit.guest_boot.conftest import MakeMemory
from tests.unit.guest_boot.fake_memory import GIB, FakeGuestMemory
from vmm_main.guest_boot.cpu_entry import CpuEntry, Segment, enter_long64, enter_pvh32

RIP = 0x100_0200


def walk(memory: FakeGuestMemory, cr3: int, virtual: int) -> int | None:
    """Translates as an x86-64 CPU does; None where it would fault."""
    table = cr3
    for shift in (39, 30, 21):
        (entry,) = struct.unpack("<Q", memory.read(table + 8 * (virtual >> shift & 0x1FF), 8))
        if entry & 3 != 3:
            return None
        if entry & 0x80:
            assert shift == 21
            return int(entry & ~0x1F_FFFF) + (virtual & 0x1F_FFFF)
        table = entry & ~0xFFF
    raise AssertionError("no page of 2 MiB at the end of the walk")


@pytest.mark.parametrize(
    ("mapped_end", "whole_gib"), [(RIP, 1), (GIB, 1), (GIB + 1, 2), (3 * GIB, 3), (4 * GIB, 4)]
)
def test_the_identity_map(memory: FakeGuestMemory, mapped_end: int, whole_gib: int) -> None:
    entry = enter_long64(memory, RIP, 0x7000, mapped_end)
    for virtual in (0, 0x7000, RIP, GIB - 1, *(gib * GIB + 0x12_3456 for gib in range(whole_gib))):
        assert walk(memory, entry.cr3, virtual) == virtual
    assert walk(memory, entry.cr3, whole_gib * GIB - 1) == whole_gib * GIB - 1
    for virtual in (whole_gib * GIB, 8 * GIB, 512 * GIB, 1 << 46):
        assert walk(memory, entry.cr3, virtual) is None


def test_stale_page_tables_dont_shine_through(make_memory: MakeMemory) -> None:
    memory = make_memory(256 << 20, dirt=0xFF)
    entry = enter_long64(memory, RIP, 0x7000, GIB)
    assert walk(memory, entry.cr3, RIP) == RIP
    assert walk(memory, entry.cr3, GIB) is None
    assert walk(memory, entry.cr3, 512 * GIB) is None


def test_long_mode(memory: FakeGuestMemory) -> None:
    entry = enter_long64(memory, RIP, 0x7000, GIB)
    assert entry.cr0 & 0x8000_0001 == 0x8000_0001  # PG, PE
    assert not entry.cr0 & 0x6000_0000  # caches are on
    assert entry.cr4 == 1 << 5  # PAE
    assert entry.efer == 1 << 8 | 1 << 10  # LME, LMA
    assert (entry.rip, entry.rsi, entry.rbx, entry.rflags) == (RIP, 0x7000, 0, 2)
    assert (entry.code.l, entry.code.db) == (1, 0)
    assert (entry.code.selector, entry.data.selector) == (0x10, 0x18)  # __BOOT_CS, __BOOT_DS


def test_protected_mode(memory: FakeGuestMemory) -> None:
    entry = enter_pvh32(memory, RIP, 0x1000)
    assert (entry.cr0, entry.cr3, entry.cr4, entry.efer) == (0x11, 0, 0, 0)
    assert (entry.rip, entry.rbx, entry.rflags) == (RIP, 0x1000, 2)
    assert (entry.code.l, entry.code.db, entry.code.limit) == (0, 1, 0xFFFF_FFFF)
    assert (entry.task.limit, entry.task.type, entry.task.s) == (0x67, 0xB, 0)


def gdt_entry(memory: FakeGuestMemory, entry: CpuEntry, selector: int) -> dict[str, int]:
    """Unpacks one descriptor by Intel SDM volume 3, figure 3-8."""
    assert selector + 7 <= entry.gdt_limit
    (low, high) = struct.unpack("<II", memory.read(entry.gdt_base + selector, 8))
    granular = high >> 23 & 1
    limit = low & 0xFFFF | high & 0xF_0000
    return {
        "base": low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000,
        "limit": limit << 12 | 0xFFF if granular else limit,
        "type": high >> 8 & 0xF,
        "s": high >> 12 & 1,
        "dpl": high >> 13 & 3,
        "present": high >> 15 & 1,
        "l": high >> 21 & 1,
        "db": high >> 22 & 1,
        "g": granular,
    }


@pytest.mark.parametrize("long_mode", [True, False])
def test_the_gdt_holds_what_the_registers_do(memory: FakeGuestMemory, long_mode: bool) -> None:
    """A kernel that reloads a segment register before it has a GDT of its own gets the same segment."""
    entry = enter_long64(memory, RIP, 0x7000, GIB) if long_mode else enter_pvh32(memory, RIP, 0x1000)
    assert memory.read(entry.gdt_base, 8) == bytes(8)
    segments: list[Segment] = [entry.code, entry.data, entry.task]
    for segment in segments:
        assert gdt_entry(memory, entry, segment.selector) == {
            "base": 0,
            "limit": segment.limit,
            "type": segment.type,
            "s": segment.s,
            "dpl": 0,
            "present": 1,
            "l": segment.l,
            "db": segment.db,
            "g": segment.g,
        }
