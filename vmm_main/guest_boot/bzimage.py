"""Loads a bzImage for its 64-bit entry (Documentation/arch/x86/boot.rst).

The setup header is hostile input like the rest of the file: every number is checked against the file's size
and the guest's memory before it is used.
"""

from __future__ import annotations

import _struct as struct

from vmm_main.guest_boot.boot_params import (
    CODE32_START,
    SETUP_HEADER,
    SETUP_HEADER_MAX_END,
    enter_with_boot_params,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.boot_file import BootFile
    from vmm_main.guest_boot.boot_request import BootRequest
    from vmm_main.guest_boot.cpu_entry import CpuEntry

_SECTOR = 512
_HEADER_END = 0x264  # of protocol 2.12: the last field is init_size
_PROTOCOL_WITH_64_BIT_ENTRY = 0x020C
_ENTRY_64_OFFSET = 0x200
_LOADFLAG_LOADED_HIGH = 1 << 0
_XLF_KERNEL_64 = 1 << 0
_XLF_CAN_BE_LOADED_ABOVE_4G = 1 << 1
_MAX_ALIGNMENT = 1 << 30


class SetupHeader:
    """The fields of a setup header that a loader obeys, checked; `raw` is what the zero page takes over."""

    __slots__ = (
        "above_4g",
        "alignment",
        "command_line_limit",
        "init_bytes",
        "initrd_limit_gpa",
        "payload_bytes",
        "payload_offset",
        "preferred_gpa",
        "raw",
        "relocatable",
    )

    def __init__(self, kernel: BootFile, head: bytes) -> None:
        """Reads the header from head, the file's first 4 KiB or less.

        Raises:
            GuestImageError: It is truncated, inconsistent, or of a kernel without a 64-bit entry.
        """
        if len(head) < _HEADER_END:
            raise kernel.truncated(_HEADER_END)
        version: int = struct.unpack_from("<H", head, 0x206)[0]
        if version < _PROTOCOL_WITH_64_BIT_ENTRY:
            raise kernel.refuse(
                f"is a bzImage of boot protocol {version >> 8}.{version & 0xFF:02}",
                "boot protocol 2.12 or later",
            )
        relocatable: int
        (
            initrd_addr_max,
            self.alignment,
            relocatable,
            _min_alignment,
            xloadflags,
            cmdline_size,
        ) = struct.unpack_from("<IIBBHI", head, 0x22C)
        if not xloadflags & _XLF_KERNEL_64 or not head[0x211] & _LOADFLAG_LOADED_HIGH:
            raise kernel.refuse("is a bzImage without a 64-bit entry point", "a 64-bit kernel")
        self.command_line_limit: int = cmdline_size
        self.initrd_limit_gpa: int = initrd_addr_max + 1
        self.above_4g = bool(xloadflags & _XLF_CAN_BE_LOADED_ABOVE_4G)
        self.relocatable = relocatable != 0
        self.preferred_gpa: int
        self.init_bytes: int
        self.preferred_gpa, self.init_bytes = struct.unpack_from("<QI", head, 0x258)
        if self.alignment == 0 or self.alignment & (self.alignment - 1) or self.alignment > _MAX_ALIGNMENT:
            raise kernel.refuse(
                f"is a damaged bzImage (kernel_alignment is {self.alignment:#x})",
                "a power of two up to 1 GiB there",
            )
        end = min(0x202 + head[0x201], SETUP_HEADER_MAX_END, len(head))
        if end < _HEADER_END:
            raise kernel.refuse(
                f"is a damaged bzImage (its setup header ends at {end:#x})", f"{_HEADER_END:#x} or more"
            )
        self.raw = head[SETUP_HEADER:end]
        self._find_payload(kernel, head)

    def _find_payload(self, kernel: BootFile, head: bytes) -> None:
        setup_sectors = head[SETUP_HEADER] or 4  # 0 means 4, for very old kernels
        self.payload_offset = (setup_sectors + 1) * _SECTOR
        paragraphs: int = struct.unpack_from("<I", head, 0x1F4)[0]
        available_bytes = kernel.size_bytes - self.payload_offset
        # syssize is rounded up to paragraphs of 16 bytes; what follows it are signatures, not kernel.
        if available_bytes <= (paragraphs - 1) * 16 or paragraphs * 16 <= _ENTRY_64_OFFSET:
            raise kernel.truncated(self.payload_offset + max(paragraphs * 16, _ENTRY_64_OFFSET + 16))
        self.payload_bytes = min(available_bytes, paragraphs * 16)
        compressed_offset, compressed_bytes = struct.unpack_from("<II", head, 0x248)
        if compressed_offset + compressed_bytes > self.payload_bytes:
            raise kernel.truncated(self.payload_offset + compressed_offset + compressed_bytes)

    def for_boot_params(self, gpa: int) -> bytes:
        """The header as the zero page has it, with the place where the kernel has been loaded."""
        raw = bytearray(self.raw)
        struct.pack_into("<I", raw, CODE32_START - SETUP_HEADER, gpa)
        return bytes(raw)

    def load_gpa(self) -> int:
        """Where the kernel wants to run, which is where it is loaded: then it needn't move first."""
        return -(-self.preferred_gpa & -self.alignment) if self.relocatable else self.preferred_gpa


def load_bzimage(request: BootRequest) -> CpuEntry:
    """Loads kernel, initrd, command line and zero page.

    Raises:
        GuestImageError: The kernel or the initrd can't be used, or doesn't fit.
        ConfigurationError: The command line is too long.
    """
    header = SetupHeader(request.kernel, request.head)
    gpa = header.load_gpa()
    end_gpa = gpa + max(header.init_bytes, header.payload_bytes)
    request.check_fits(gpa, end_gpa)
    request.write_command_line(header.command_line_limit)
    request.kernel.load(request.memory, header.payload_offset, gpa, header.payload_bytes)
    initrd_place = request.load_initrd(end_gpa, header.initrd_limit_gpa, above_4g=header.above_4g)
    return enter_with_boot_params(
        request, header.for_boot_params(gpa), gpa + _ENTRY_64_OFFSET, end_gpa, initrd_place
    )
