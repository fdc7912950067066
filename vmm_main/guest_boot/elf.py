"""Loads an ELF kernel for x86-64: by its PVH note if it has one, else for Linux's 64-bit entry.

The file is hostile input: every number is checked against the file's size and the guest's memory before it is
used. Segments go to their physical addresses (p_paddr).
"""

from __future__ import annotations

import _struct as struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.boot_file import BootFile
    from vmm_main.guest_boot.boot_request import BootRequest
    from vmm_main.guest_boot.cpu_entry import CpuEntry

# System V ABI, chapter 4, and its x86-64 supplement.
_HEADER_SIZE = 64
_CLASS_64 = 2
_DATA_LITTLE, _DATA_BIG = 1, 2
_TYPE_EXECUTABLE = 2
_MACHINE_X86_64 = 62
_PROGRAM_HEADER_SIZE = 56
_PT_LOAD, _PT_INTERP, _PT_NOTE = 1, 3, 4
_MAX_PROGRAM_HEADERS = 256
_MAX_NOTE_BYTES = 64 << 10
_MACHINES = {
    2: "SPARC",
    3: "32-bit x86",
    8: "MIPS",
    20: "PowerPC",
    21: "64-bit PowerPC",
    22: "s390",
    40: "32-bit ARM",
    43: "64-bit SPARC",
    50: "IA-64",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
    258: "LoongArch",
}
_TYPES = {
    1: "an ELF object file, not linked yet",
    3: "an ELF shared object or position-independent program",
    4: "an ELF core dump",
}

# Xen's public/elfnote.h: the physical address of the 32-bit PVH entry point.
_XEN_NOTE_NAME = b"Xen\0"
_XEN_ELFNOTE_PHYS32_ENTRY = 18


class LoadSegment:
    """One PT_LOAD: file_bytes at file_offset go to gpa, zeros follow up to memory_bytes."""

    __slots__ = ("file_bytes", "file_offset", "gpa", "memory_bytes")

    def __init__(self, file_offset: int, gpa: int, file_bytes: int, memory_bytes: int) -> None:
        self.file_offset = file_offset
        self.gpa = gpa
        self.file_bytes = file_bytes
        self.memory_bytes = memory_bytes

    @property
    def end_gpa(self) -> int:
        """Where the segment ends in guest memory."""
        return self.gpa + self.memory_bytes


class ElfKernel:
    """What an ELF file says about itself, checked against itself but not against the guest's memory.

    Attributes:
        entry_gpa: e_entry, a physical address.
        pvh_entry_gpa: The PVH note's entry point, None without one.
        segments: What to load, ascending, without overlap.
    """

    __slots__ = ("entry_gpa", "pvh_entry_gpa", "segments")

    def __init__(self, kernel: BootFile, head: bytes) -> None:
        """Reads headers and notes; head is the beginning of the file.

        Raises:
            GuestImageError: The file is truncated, inconsistent, or no x86-64 executable.
        """
        if len(head) < _HEADER_SIZE:
            raise kernel.truncated(_HEADER_SIZE)
        _check_kind(kernel, head)
        self.entry_gpa: int
        self.entry_gpa, table_offset = struct.unpack_from("<QQ", head, 24)
        entry_size, entries = struct.unpack_from("<HH", head, 54)
        if entry_size != _PROGRAM_HEADER_SIZE or not 0 < entries <= _MAX_PROGRAM_HEADERS:
            raise kernel.refuse(
                f"is a damaged ELF file ({entries} program headers of {entry_size} bytes)",
                f"1 to {_MAX_PROGRAM_HEADERS} of {_PROGRAM_HEADER_SIZE} bytes",
            )
        table = _read(kernel, table_offset, entries * entry_size)
        self.pvh_entry_gpa: int | None = None
        self.segments: list[LoadSegment] = []
        for fields in struct.iter_unpack("<IIQQQQQQ", table):
            kind, _flags, offset, _virtual, gpa, file_bytes, memory_bytes, alignment = fields
            if kind == _PT_INTERP:
                raise kernel.refuse("is a Linux program, not a kernel")
            if kind == _PT_NOTE and self.pvh_entry_gpa is None:
                notes = _read(kernel, offset, min(file_bytes, _MAX_NOTE_BYTES))
                self.pvh_entry_gpa = find_pvh_entry(notes, 8 if alignment == 8 else 4)
            if kind == _PT_LOAD and memory_bytes:
                if file_bytes > memory_bytes:
                    raise kernel.refuse(
                        f"is a damaged ELF file (a segment of {memory_bytes} bytes has {file_bytes} in it)",
                        "segments no longer in the file than in memory",
                    )
                if offset + file_bytes > kernel.size_bytes:
                    raise kernel.truncated(offset + file_bytes)
                self.segments.append(LoadSegment(offset, gpa, file_bytes, memory_bytes))
        self._check_segments(kernel)

    def _check_segments(self, kernel: BootFile) -> None:
        if not self.segments:
            raise kernel.refuse("is an ELF file with nothing to load", "at least one PT_LOAD segment")
        self.segments.sort(key=lambda segment: segment.gpa)
        for below, above in zip(self.segments, self.segments[1:], strict=False):
            if below.end_gpa > above.gpa:
                raise kernel.refuse(
                    f"is a damaged ELF file (segments overlap at {above.gpa:#x})", "segments apart"
                )
        name, entry_gpa = "entry", self.entry_gpa
        if self.pvh_entry_gpa is not None:
            name, entry_gpa = "PVH entry", self.pvh_entry_gpa
        if not any(segment.gpa <= entry_gpa < segment.end_gpa for segment in self.segments):
            raise kernel.refuse(
                f"is an ELF file whose {name} point, {entry_gpa:#x}, is in none of its segments",
                "a physical address inside one",
            )


def find_pvh_entry(notes: bytes, alignment: int) -> int | None:
    """The entry point of the first Xen PHYS32_ENTRY note of a PT_NOTE segment, None if there is none.

    A note that is cut off ends the search: nothing behind it can be found reliably.
    """
    position = 0
    while position + 12 <= len(notes):
        name_bytes, content_bytes, kind = struct.unpack_from("<III", notes, position)
        content = position + 12 + (name_bytes + alignment - 1 & -alignment)
        end = content + content_bytes
        if end > len(notes):
            return None
        if kind == _XEN_ELFNOTE_PHYS32_ENTRY and content_bytes in (4, 8):
            name = notes[position + 12 : position + 12 + name_bytes]
            if name == _XEN_NOTE_NAME:
                return int.from_bytes(notes[content:end], "little")
        position = content + (content_bytes + alignment - 1 & -alignment)
    return None


def load_elf(request: BootRequest) -> CpuEntry:
    """Loads kernel, initrd, command line and what its entry point expects.

    Raises:
        GuestImageError: The kernel or the initrd can't be used, or doesn't fit.
        ConfigurationError: The command line is too long.
    """
    kernel, memory = request.kernel, request.memory
    image = ElfKernel(kernel, request.head)
    end_gpa = image.segments[-1].end_gpa
    request.check_fits(image.segments[0].gpa, end_gpa)
    request.write_command_line()
    for segment in image.segments:
        if segment.file_bytes:
            kernel.load(memory, segment.file_offset, segment.gpa, segment.file_bytes)
        if segment.memory_bytes > segment.file_bytes:  # .bss: RAM isn't clean at a reboot
            memory.zero(segment.gpa + segment.file_bytes, segment.memory_bytes - segment.file_bytes)
    initrd_place = request.load_initrd(end_gpa)
    if image.pvh_entry_gpa is not None:
        from vmm_main.guest_boot.pvh import enter_pvh

        return enter_pvh(request, image.pvh_entry_gpa, initrd_place)
    from vmm_main.guest_boot.boot_params import enter_with_boot_params, plain_setup_header

    return enter_with_boot_params(request, plain_setup_header(), image.entry_gpa, end_gpa, initrd_place)


def _check_kind(kernel: BootFile, head: bytes) -> None:
    byte_order = {_DATA_LITTLE: "<", _DATA_BIG: ">"}.get(head[5])
    if byte_order is None:
        raise kernel.refuse(f"is a damaged ELF file (byte order {head[5]})")
    kind, machine = struct.unpack_from(byte_order + "HH", head, 16)
    machine_name = _MACHINES.get(machine, f"machine number {machine}")
    if machine != _MACHINE_X86_64:
        raise kernel.refuse(f"is an ELF file for {machine_name}")
    if head[4] != _CLASS_64 or byte_order != "<":
        raise kernel.refuse(f"is a 32-bit or big-endian ELF file for {machine_name}")
    if kind != _TYPE_EXECUTABLE:
        raise kernel.refuse(f"is {_TYPES.get(kind, f'an ELF file of type {kind}')}")


def _read(kernel: BootFile, offset: int, length: int) -> bytes:
    if offset + length > kernel.size_bytes:
        raise kernel.truncated(offset + length)
    return kernel.read(offset, length)
