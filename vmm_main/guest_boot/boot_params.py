"""Linux's struct boot_params, the "zero page" (Documentation/arch/x86/zero-page.rst and boot.rst)."""

from __future__ import annotations

import _struct as struct

from vmm_main.guest_boot.boot_memory import memory_map
from vmm_main.guest_boot.cpu_entry import enter_long64
from vmm_main.machine.address_map import BOOT_PARAMS_GPA, COMMAND_LINE_GPA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.boot_request import BootRequest
    from vmm_main.guest_boot.cpu_entry import CpuEntry

BOOT_PARAMS_SIZE = 0x1000

# Offsets in boot_params. The setup header, 0x1f1 to at most 0x290, has the same ones in a bzImage.
_ACPI_RSDP_ADDR = 0x070
_EXT_RAMDISK_IMAGE = 0x0C0
_EXT_RAMDISK_SIZE = 0x0C4
_E820_ENTRIES = 0x1E8
SETUP_HEADER = 0x1F1
SETUP_HEADER_MAX_END = 0x290
_BOOT_FLAG = 0x1FE
_HEADER_MAGIC = 0x202
_VERSION = 0x206
_TYPE_OF_LOADER = 0x210
CODE32_START = 0x214
_RAMDISK_IMAGE = 0x218
_RAMDISK_SIZE = 0x21C
_CMD_LINE_PTR = 0x228
_E820_TABLE = 0x2D0

_LOADER_UNREGISTERED = 0xFF
_VERSION_WE_FOLLOW = 0x020F


def plain_setup_header() -> bytes:
    """A setup header, from SETUP_HEADER on, for kernels that come without one (ELF, flat)."""
    header = bytearray(SETUP_HEADER_MAX_END - SETUP_HEADER)
    struct.pack_into("<H", header, _BOOT_FLAG - SETUP_HEADER, 0xAA55)
    struct.pack_into("<4sH", header, _HEADER_MAGIC - SETUP_HEADER, b"HdrS", _VERSION_WE_FOLLOW)
    return bytes(header)


def enter_with_boot_params(
    request: BootRequest,
    setup_header: bytes,
    entry_gpa: int,
    kernel_end_gpa: int,
    initrd_place: tuple[int, int],
) -> CpuEntry:
    """Writes the zero page to its place and gives the CPU's state for a 64-bit entry.

    Args:
        request: The boot; its command line is already at COMMAND_LINE_GPA.
        setup_header: The kernel's setup header, from SETUP_HEADER on.
        entry_gpa: The 64-bit entry point.
        kernel_end_gpa: The end of what the kernel needs for itself.
        initrd_place: Guest-physical address and size in bytes, (0, 0) for none.
    """
    page = bytearray(BOOT_PARAMS_SIZE)
    page[SETUP_HEADER : SETUP_HEADER + len(setup_header)] = setup_header
    page[_TYPE_OF_LOADER] = _LOADER_UNREGISTERED
    initrd_gpa, initrd_bytes = initrd_place
    pack_into = struct.pack_into
    pack_into("<II", page, _RAMDISK_IMAGE, initrd_gpa & 0xFFFF_FFFF, initrd_bytes & 0xFFFF_FFFF)
    pack_into("<II", page, _EXT_RAMDISK_IMAGE, initrd_gpa >> 32, initrd_bytes >> 32)
    pack_into("<I", page, _CMD_LINE_PTR, COMMAND_LINE_GPA)
    pack_into("<Q", page, _ACPI_RSDP_ADDR, request.acpi_rsdp_gpa)
    entries = memory_map(request.memory.size_bytes)
    page[_E820_ENTRIES] = len(entries)
    for index, entry in enumerate(entries):
        pack_into("<QQI", page, _E820_TABLE + 20 * index, *entry)
    request.memory.write(BOOT_PARAMS_GPA, page)
    return enter_long64(request.memory, entry_gpa, BOOT_PARAMS_GPA, kernel_end_gpa)
