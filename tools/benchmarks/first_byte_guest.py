"""A guest of ten instructions: it writes one byte to COM1 and halts.

An ELF file with a PVH note, because that is what QEMU's microvm and the other VMMs take. The instructions
mean the same in 32-bit mode (a PVH entry) and in 64-bit mode (Linux's entry).
"""

from __future__ import annotations

import struct
from pathlib import Path

# Text never holds this byte (it isn't UTF-8): whatever a VMM says on standard output can't be taken for it.
FIRST_BYTE = b"\xf5"

CODE = (
    b"\xfa"  # cli
    b"\x66\xba\xfd\x03"  # mov dx, 0x3fd    COM1's line status
    b"\xec"  # wait: in al, dx
    b"\xa8\x20"  # test al, 0x20     room for a byte?
    b"\x74\xfb"  # jz wait
    b"\xb2\xf8"  # mov dl, 0xf8      0x3f8: COM1's data
    b"\xb0"
    + FIRST_BYTE  # mov al, FIRST_BYTE
    + b"\xee"  # out dx, al
    b"\xf4"  # end: hlt
    b"\xeb\xfd"  # jmp end
)

_LOAD_GPA = 1 << 20
_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_PAGE = 0x1000
_PT_LOAD, _PT_NOTE = 1, 4
# Xen's public/elfnote.h: the physical address of the 32-bit PVH entry point.
_PVH_NOTE = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", _LOAD_GPA)


def elf_kernel() -> bytes:
    """The guest as an ELF file: one segment at 1 MiB, entered at its beginning by either protocol."""
    note_offset = _ELF_HEADER.size + 2 * _PROGRAM_HEADER.size
    header = _ELF_HEADER.pack(
        b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), 2, 62, 1, _LOAD_GPA, _ELF_HEADER.size, 0, 0,
        _ELF_HEADER.size, _PROGRAM_HEADER.size, 2, 0, 0, 0,
    )  # fmt: skip
    load = _PROGRAM_HEADER.pack(_PT_LOAD, 5, _PAGE, _LOAD_GPA, _LOAD_GPA, _PAGE, _PAGE, _PAGE)
    notes = len(_PVH_NOTE)
    note = _PROGRAM_HEADER.pack(_PT_NOTE, 4, note_offset, 0, 0, notes, notes, 4)
    return (header + load + note + _PVH_NOTE).ljust(_PAGE, b"\0") + CODE.ljust(_PAGE, b"\x90")


def write_elf_kernel(directory: Path) -> Path:
    """Writes the guest to a file in directory and returns its path."""
    path = directory / "first-byte-guest.elf"
    path.write_bytes(elf_kernel())
    return path
