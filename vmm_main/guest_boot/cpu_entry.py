"""The boot CPU's state at the guest's first instruction: two protocols, in plain values.

`long64` is Linux's 64-bit boot protocol (Documentation/arch/x86/boot.rst, "64-bit BOOT PROTOCOL"): long mode,
paging on with an identity map, flat segments at selectors 0x10 and 0x18, interrupts off, rsi = boot_params.
`pvh32` is Xen's PVH (docs/misc/pvh.pandoc): protected mode, paging off, flat 32-bit segments, a 32-bit TSS,
interrupts off, ebx = start info.
"""

from __future__ import annotations

import _struct as struct

from vmm_main.machine.address_map import BOOT_STACK_END_GPA, GDT_GPA, PAGE_TABLES_GPA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.boot_memory import BootMemory

MODE_LONG64 = "long64"
MODE_PVH32 = "pvh32"

# Bits of control registers (Intel SDM volume 3, §2.5 and §2.2.1).
_CR0_PE = 1 << 0
_CR0_ET = 1 << 4
_CR0_PG = 1 << 31
_CR4_PAE = 1 << 5
_EFER_LME = 1 << 8
_EFER_LMA = 1 << 10
_RFLAGS_RESERVED = 1 << 1  # always set

# Segment types (Intel SDM volume 3, §3.4.5.1 and §3.5).
_TYPE_CODE = 0xB  # execute, read, accessed
_TYPE_DATA = 0x3  # read, write, accessed
_TYPE_BUSY_TSS = 0xB

_PAGE_PRESENT_WRITABLE = 0x3
_PAGE_LARGE = 0x80
_LARGE_PAGE_SIZE = 0x20_0000
_GIB = 1 << 30
_TABLE_SIZE = 0x1000


class Segment:
    """One segment register, field by field as struct kvm_segment has them; base is 0, dpl 0, present."""

    __slots__ = ("db", "g", "l", "limit", "s", "selector", "type")

    def __init__(self, selector: int, limit: int, type_: int, *, s: int, db: int, l: int, g: int) -> None:  # noqa: E741
        self.selector = selector
        self.limit = limit  # of the last byte, in bytes
        self.type = type_
        self.s = s  # 1: code or data, 0: system
        self.db = db
        self.l = l
        self.g = g  # 1: the descriptor counts pages

    def descriptor(self) -> int:
        """The segment's entry in a GDT (Intel SDM volume 3, figure 3-8)."""
        limit = self.limit >> 12 if self.g else self.limit
        access = 0x80 | self.s << 4 | self.type
        flags = self.g << 3 | self.db << 2 | self.l << 1
        return limit & 0xFFFF | access << 40 | (limit >> 16) << 48 | flags << 52


CODE_64 = Segment(0x10, 0xFFFF_FFFF, _TYPE_CODE, s=1, db=0, l=1, g=1)
CODE_32 = Segment(0x10, 0xFFFF_FFFF, _TYPE_CODE, s=1, db=1, l=0, g=1)
DATA = Segment(0x18, 0xFFFF_FFFF, _TYPE_DATA, s=1, db=1, l=0, g=1)
TASK = Segment(0x20, 0x67, _TYPE_BUSY_TSS, s=0, db=0, l=0, g=0)


class CpuEntry:
    """Registers of the boot CPU; those not named here are 0 (the IDT's base and limit too).

    ds, es, fs, gs and ss are all `data`, tr is `task`. The GDT with these descriptors is in guest memory.
    """

    __slots__ = (
        "code",
        "cr0",
        "cr3",
        "cr4",
        "data",
        "efer",
        "gdt_base",
        "gdt_limit",
        "mode",
        "rbx",
        "rflags",
        "rip",
        "rsi",
        "rsp",
        "task",
    )

    def __init__(self, mode: str, rip: int, code: Segment) -> None:
        self.mode = mode
        self.rip = rip
        self.code = code
        self.data = DATA
        self.task = TASK
        self.rsp = BOOT_STACK_END_GPA
        self.rbx = 0
        self.rsi = 0
        self.rflags = _RFLAGS_RESERVED
        self.cr0 = _CR0_PE | _CR0_ET
        self.cr3 = 0
        self.cr4 = 0
        self.efer = 0
        self.gdt_base = GDT_GPA
        self.gdt_limit = 0


def enter_long64(memory: BootMemory, rip: int, boot_params_gpa: int, mapped_end_gpa: int) -> CpuEntry:
    """Writes GDT and identity page tables and gives the state for Linux's 64-bit entry.

    Args:
        memory: The guest's memory.
        rip: The entry point, guest-physical.
        boot_params_gpa: What rsi points at.
        mapped_end_gpa: The end of what the guest needs mapped; rounded up to whole GiB, at most 4.
    """
    entry = CpuEntry(MODE_LONG64, rip, CODE_64)
    entry.rsi = boot_params_gpa
    entry.cr0 |= _CR0_PG
    entry.cr3 = PAGE_TABLES_GPA
    entry.cr4 = _CR4_PAE
    entry.efer = _EFER_LME | _EFER_LMA
    memory.write(PAGE_TABLES_GPA, identity_page_tables(-(-mapped_end_gpa // _GIB)))
    _write_gdt(memory, entry)
    return entry


def enter_pvh32(memory: BootMemory, rip: int, start_info_gpa: int) -> CpuEntry:
    """Writes the GDT and gives the state for a PVH entry point (guest-physical, below 4 GiB)."""
    entry = CpuEntry(MODE_PVH32, rip, CODE_32)
    entry.rbx = start_info_gpa
    _write_gdt(memory, entry)
    return entry


def identity_page_tables(gibibytes: int) -> bytes:
    """Page tables for PAGE_TABLES_GPA that map the first gibibytes (1 to 4) by 2 MiB pages, writable."""
    pml4 = struct.pack("<Q4088x", PAGE_TABLES_GPA + _TABLE_SIZE | _PAGE_PRESENT_WRITABLE)
    first_directory = PAGE_TABLES_GPA + 2 * _TABLE_SIZE | _PAGE_PRESENT_WRITABLE
    pdpt = struct.pack(
        f"<{gibibytes}Q", *range(first_directory, first_directory + gibibytes * _TABLE_SIZE, _TABLE_SIZE)
    )
    pages = range(_PAGE_LARGE | _PAGE_PRESENT_WRITABLE, gibibytes * _GIB, _LARGE_PAGE_SIZE)
    return pml4 + pdpt.ljust(_TABLE_SIZE, b"\0") + struct.pack(f"<{len(pages)}Q", *pages)


def _write_gdt(memory: BootMemory, entry: CpuEntry) -> None:
    # Two null entries, because Linux's protocol names selectors 0x10 and 0x18. A TSS descriptor is twice as
    # long in long mode; its upper half, the base's, is 0.
    table = struct.pack(
        "<6Q", 0, 0, entry.code.descriptor(), entry.data.descriptor(), entry.task.descriptor(), 0
    )
    entry.gdt_limit = len(table) - 1
    memory.write(entry.gdt_base, table)
