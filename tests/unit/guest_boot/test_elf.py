"""ELF kernels: by PVH note and without one, what is zeroed, and which are refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.unit.guest_boot.conftest import MakeFile, MakeMemory
from tests.unit.guest_boot.fake_memory import GIB, MIB, FakeGuestMemory
from tests.unit.guest_boot.synthetic_kernels import (
    PATTERN,
    PT_INTERP,
    PT_NOTE,
    Segment,
    elf,
    note,
    pvh_note,
)
from vmm_main.errors import ConfigurationError, GuestImageError
from vmm_main.guest_boot.elf import find_pvh_entry
from vmm_main.guest_boot.loader import BootImages

TEXT = 0x100_0000
START_INFO = 0x1000
BOOT_PARAMS = 0x7000
COMMAND_LINE = 0x2_0000


def pvh_kernel(**changes: Any) -> bytes:
    return elf(Segment(TEXT, PATTERN), Segment(0, pvh_note(TEXT + 0x40), kind=PT_NOTE), **changes)


def test_the_pvh_note_wins(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    entry = BootImages(make_file(pvh_kernel())).load(memory, "", 0)
    assert (entry.mode, entry.rip, entry.rbx) == ("pvh32", TEXT + 0x40, START_INFO)
    assert memory.read(TEXT, 256) == PATTERN
    memory.assert_nothing_written_twice()


def test_the_start_info(make_file: MakeFile, make_memory: MakeMemory) -> None:
    memory = make_memory(5 * GIB)
    initrd = b"initrd" * 1000
    BootImages(make_file(pvh_kernel()), make_file(initrd)).load(memory, "console=ttyS0", 0xE_0000)
    fields = struct.unpack("<IIIIQQQQII", memory.read(START_INFO, 56))
    magic, version, flags, modules, modules_gpa, command_line_gpa, rsdp, map_gpa, entries, reserved = fields
    assert (magic, version, flags, modules, reserved) == (0x336EC578, 1, 0, 1, 0)
    assert rsdp == 0xE_0000
    assert memory.read(command_line_gpa, 14) == b"console=ttyS0\0"
    initrd_gpa, initrd_bytes, module_command_line, module_reserved = struct.unpack(
        "<QQQQ", memory.read(modules_gpa, 32)
    )
    assert (module_command_line, module_reserved) == (0, 0)
    assert (initrd_gpa, initrd_bytes) == (3 * GIB - 0x2000, len(initrd))
    assert memory.read(initrd_gpa, initrd_bytes) == initrd
    assert [struct.unpack("<QQII", memory.read(map_gpa + 24 * index, 24)) for index in range(entries)] == [
        (0, 0x9_FC00, 1, 0),
        (0x9_FC00, 0x6_0400, 2, 0),
        (0x10_0000, 3 * GIB - MIB, 1, 0),
        (4 * GIB, 2 * GIB, 1, 0),
    ]


def test_no_initrd_no_module(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    BootImages(make_file(pvh_kernel())).load(memory, "", 0)
    fields = struct.unpack("<IIIIQQQQII", memory.read(START_INFO, 56))
    assert fields[3:5] == (0, 0)


def test_without_a_note_linuxs_64_bit_entry(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    initrd = b"initrd" * 1000
    kernel = elf(Segment(TEXT, PATTERN), entry_gpa=TEXT + 0x10)
    entry = BootImages(make_file(kernel), make_file(initrd)).load(memory, "panic=1", 0xE_0000)
    assert (entry.mode, entry.rip, entry.rsi) == ("long64", TEXT + 0x10, BOOT_PARAMS)
    page = memory.read(BOOT_PARAMS, 0x1000)
    assert (page[0x1EF], page[0x210]) == (0, 0xFF)
    assert struct.unpack_from("<H2x4sH", page, 0x1FE) == (0xAA55, b"HdrS", 0x020F)
    assert struct.unpack_from("<Q", page, 0x70) == (0xE_0000,)
    initrd_gpa, initrd_bytes = struct.unpack_from("<II", page, 0x218)
    assert memory.read(initrd_gpa, initrd_bytes) == initrd
    assert struct.unpack_from("<I", page, 0x228) == (COMMAND_LINE,)
    assert memory.read(COMMAND_LINE, 8) == b"panic=1\0"
    memory.assert_nothing_written_twice()


def test_bss_is_zeroed_in_memory_that_isnt_clean(make_file: MakeFile, make_memory: MakeMemory) -> None:
    memory = make_memory(dirt=0xAA)
    kernel = elf(
        Segment(TEXT, PATTERN, memory_bytes=0x3000),
        Segment(TEXT + 0x10_0000, b"", memory_bytes=0x2000),
        Segment(TEXT + 0x20_0000, PATTERN),
    )
    BootImages(make_file(kernel)).load(memory, "", 0)
    assert memory.read(TEXT, 0x3000) == PATTERN + bytes(0x3000 - 256)
    assert memory.read(TEXT + 0x3000, 1) == b"\xaa"
    assert memory.read(TEXT + 0x10_0000, 0x2000) == bytes(0x2000)
    assert memory.read(TEXT + 0x20_0000, 256) == PATTERN
    assert memory.read(BOOT_PARAMS, 0x70) == bytes(0x70)
    memory.assert_nothing_written_twice()


@pytest.mark.parametrize("kernel", [pvh_kernel(), elf(Segment(TEXT, PATTERN))])
def test_linuxs_limit_on_the_command_line(
    make_file: MakeFile, memory: FakeGuestMemory, kernel: bytes
) -> None:
    images = BootImages(make_file(kernel))
    images.load(memory, "x" * 2047, 0)
    with pytest.raises(ConfigurationError) as caught:
        images.load(memory, "x" * 2048, 0)
    assert str(caught.value) == (
        "-append: the command line has 2048 bytes, allowed: 0 to 2047"
        " (Linux's COMMAND_LINE_SIZE of 2048, less the terminating NUL)"
    )


@pytest.mark.parametrize(
    ("kernel", "complaint"),
    [
        (
            elf(Segment(TEXT, PATTERN), machine=183),
            "is an ELF file for AArch64, allowed: a bzImage, an ELF kernel for x86-64 or",
        ),
        (elf(Segment(TEXT, PATTERN), machine=243), "is an ELF file for RISC-V"),
        (elf(Segment(TEXT, PATTERN), machine=22, data=2), "is an ELF file for s390"),
        (elf(Segment(TEXT, PATTERN), machine=3, elf_class=1), "is an ELF file for 32-bit x86"),
        (elf(Segment(TEXT, PATTERN), machine=4242), "is an ELF file for machine number 4242"),
        (elf(Segment(TEXT, PATTERN), elf_class=1), "is a 32-bit or big-endian ELF file for x86-64"),
        (elf(Segment(TEXT, PATTERN), data=2), "is a 32-bit or big-endian ELF file for x86-64"),
        (elf(Segment(TEXT, PATTERN), data=0), r"is a damaged ELF file \(byte order 0\)"),
        (elf(Segment(TEXT, PATTERN), kind=1), "is an ELF object file, not linked yet"),
        (elf(Segment(TEXT, PATTERN), kind=3), "is an ELF shared object or position-independent program"),
        (elf(Segment(TEXT, PATTERN), kind=4), "is an ELF core dump"),
        (elf(Segment(TEXT, PATTERN), kind=77), "is an ELF file of type 77"),
        (
            elf(Segment(TEXT, PATTERN), Segment(0, b"/lib/ld.so\0", kind=PT_INTERP)),
            "is a Linux program, not a kernel",
        ),
        (elf(), r"is a damaged ELF file \(0 program headers of 56 bytes\)"),
        (
            elf(Segment(TEXT, PATTERN), program_header_size=32),
            r"is a damaged ELF file \(1 program headers of 32 bytes\)",
        ),
        (elf(Segment(TEXT, b"")), "is an ELF file with nothing to load"),
        (elf(Segment(0, pvh_note(TEXT), kind=PT_NOTE)), "is an ELF file with nothing to load"),
        (
            elf(Segment(TEXT, PATTERN, memory_bytes=255)),
            r"is a damaged ELF file \(a segment of 255 bytes has 256 in it\)",
        ),
        (
            elf(Segment(TEXT, PATTERN), Segment(TEXT + 255, PATTERN)),
            r"is a damaged ELF file \(segments overlap at 0x10000ff\)",
        ),
        (
            elf(Segment(TEXT, PATTERN), entry_gpa=TEXT - 1),
            "whose entry point, 0xffffff, is in none of its segments",
        ),
        (elf(Segment(TEXT, PATTERN), entry_gpa=TEXT + 256), "whose entry point, 0x1000100, is in none"),
        (
            elf(Segment(TEXT, PATTERN), Segment(0, pvh_note(0x10), kind=PT_NOTE)),
            "whose PVH entry point, 0x10, is in none of its segments",
        ),
        (
            elf(Segment(0xF_F000, PATTERN), entry_gpa=0xF_F000),
            r"needs memory from 0xff000 to 0xff100, allowed: 0x100000 to 0x10000000 \(the latter",
        ),
        (
            elf(Segment(TEXT, PATTERN, memory_bytes=0xF00_0001)),
            "needs memory from 0x1000000 to 0x10000001, allowed",
        ),
        (elf(Segment(1 << 63, PATTERN), entry_gpa=1 << 63), "needs memory from 0x8000000000000000"),
        (
            elf(Segment(TEXT, PATTERN, memory_bytes=(1 << 64) - 1)),
            "needs memory from 0x1000000 to 0x10000000000ffffff",
        ),
    ],
)
def test_what_is_refused(make_file: MakeFile, memory: FakeGuestMemory, kernel: bytes, complaint: str) -> None:
    path = make_file(kernel)
    with pytest.raises(GuestImageError, match=f"^-kernel {path}: .*{complaint}") as caught:
        BootImages(path).load(memory, "", 0)
    assert "\n" not in str(caught.value)
    assert ", allowed: " in str(caught.value)
    assert memory.writes == []


@pytest.mark.parametrize("length", [4, 20, 63, 64, 100, 64 + 2 * 56, 64 + 2 * 56 + 255, -1])
def test_truncated_files(make_file: MakeFile, memory: FakeGuestMemory, length: int) -> None:
    kernel = pvh_kernel()[:length]
    with pytest.raises(
        GuestImageError, match=rf"is truncated \(it has {len(kernel)} bytes, its header asks for"
    ):
        BootImages(make_file(kernel)).load(memory, "", 0)
    assert memory.writes == []


@pytest.mark.parametrize("width", [4, 8])
def test_a_note_among_others(width: int) -> None:
    others = (
        note(b"GNU\0", 3, b"build id of 20 bytes")
        + note(b"Xen\0", 5, b"linux")
        + note(b"Bsd\0", 18, bytes(8))
    )
    assert find_pvh_entry(others + pvh_note(0x123_4560, width) + others, 4) == 0x123_4560


def test_notes_of_8_byte_alignment() -> None:
    notes = note(b"GNU\0", 5, b"12345", 8) + note(b"Xen\0", 18, (0x123_4560).to_bytes(8, "little"), 8)
    assert find_pvh_entry(notes, 8) == 0x123_4560


@pytest.mark.parametrize(
    "notes",
    [
        b"",
        b"\0" * 11,
        pvh_note(0x123)[:-1],
        note(b"Xen\0", 18, b"three"),
        note(b"Xen", 18, bytes(8)),
        struct.pack("<III", 0xFFFF_FFFF, 0xFFFF_FFFF, 18),
        bytes(4096),
    ],
)
def test_no_pvh_note(notes: bytes) -> None:
    assert find_pvh_entry(notes, 4) is None
