"""Kernels of a few hundred bytes: their headers are real, what they would run is a pattern."""

from __future__ import annotations

import struct

PATTERN = bytes(range(256))

ET_EXEC = 2
EM_X86_64 = 62
PT_LOAD, PT_INTERP, PT_NOTE = 1, 3, 4
PVH_NOTE_TYPE = 18


def bzimage(
    *,
    version: int = 0x020F,
    payload: bytes = PATTERN * 8,
    syssize: int | None = None,
    setup_sectors: int = 1,
    loadflags: int = 1,
    xloadflags: int = 0x03,
    cmdline_size: int = 2047,
    initrd_addr_max: int = 0x7FFF_FFFF,
    alignment: int = 0x20_0000,
    relocatable: int = 1,
    preferred_gpa: int = 0x100_0000,
    init_bytes: int = 0x40_0000,
    compressed: tuple[int, int] = (0x200, 0x100),
    header_end: int = 0x6A + 0x202,
) -> bytes:
    """A bzImage whose 64-bit entry would run the payload's bytes from 0x200 on."""
    image = bytearray((setup_sectors + 1) * 512)
    image[0:2] = b"MZ"
    image[0x1F1] = setup_sectors
    struct.pack_into("<I", image, 0x1F4, len(payload) // 16 if syssize is None else syssize)
    struct.pack_into("<H", image, 0x1FE, 0xAA55)
    image[0x200] = 0xEB
    image[0x201] = header_end - 0x202
    struct.pack_into("<4sH", image, 0x202, b"HdrS", version)
    image[0x211] = loadflags
    struct.pack_into("<I", image, 0x214, 0x10_0000)
    struct.pack_into(
        "<IIBBHI", image, 0x22C, initrd_addr_max, alignment, relocatable, 21, xloadflags, cmdline_size
    )
    struct.pack_into("<II", image, 0x248, *compressed)
    struct.pack_into("<QI", image, 0x258, preferred_gpa, init_bytes)
    return bytes(image) + payload


def note(name: bytes, kind: int, content: bytes, alignment: int = 4) -> bytes:
    """One ELF note, padded."""

    def padded(field: bytes) -> bytes:
        return field + bytes(-len(field) % alignment)

    return struct.pack("<III", len(name), len(content), kind) + padded(name) + padded(content)


def pvh_note(entry_gpa: int, width: int = 8) -> bytes:
    """The note that names a PVH entry point."""
    return note(b"Xen\0", PVH_NOTE_TYPE, entry_gpa.to_bytes(width, "little"))


class Segment:
    """A program header to be written: content goes to the file, memory_bytes to p_memsz."""

    def __init__(
        self,
        gpa: int,
        content: bytes,
        *,
        memory_bytes: int | None = None,
        kind: int = PT_LOAD,
        alignment: int = 4,
        virtual: int = 0xFFFF_FFFF_8100_0000,
    ) -> None:
        self.gpa = gpa
        self.content = content
        self.memory_bytes = len(content) if memory_bytes is None else memory_bytes
        self.kind = kind
        self.alignment = alignment
        self.virtual = virtual


def elf(
    *segments: Segment,
    entry_gpa: int = 0x100_0000,
    machine: int = EM_X86_64,
    kind: int = ET_EXEC,
    elf_class: int = 2,
    data: int = 1,
    program_header_size: int = 56,
) -> bytes:
    """An ELF64 file with these segments, their contents behind the headers in order."""
    byte_order = "<" if data == 1 else ">"
    ident = b"\x7fELF" + bytes((elf_class, data, 1)) + bytes(9)
    header = ident + struct.pack(
        byte_order + "HHIQQQIHHHHHH",
        kind,
        machine,
        1,
        entry_gpa,
        64,
        0,
        0,
        64,
        program_header_size,
        len(segments),
        0,
        0,
        0,
    )
    offset = 64 + 56 * len(segments)
    table = b""
    contents = b""
    for segment in segments:
        table += struct.pack(
            byte_order + "IIQQQQQQ",
            segment.kind,
            7,
            offset + len(contents),
            segment.virtual,
            segment.gpa,
            len(segment.content),
            segment.memory_bytes,
            segment.alignment,
        )
        contents += segment.content
    return header + table + contents
