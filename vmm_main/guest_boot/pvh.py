"""What a PVH kernel finds at its entry: struct hvm_start_info (Xen's public/arch-x86/hvm/start_info.h)."""

from __future__ import annotations

import _struct as struct

from vmm_main.guest_boot.boot_memory import PAGE_SIZE, memory_map
from vmm_main.guest_boot.cpu_entry import enter_pvh32
from vmm_main.machine.address_map import COMMAND_LINE_GPA, PVH_START_INFO_GPA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.boot_request import BootRequest
    from vmm_main.guest_boot.cpu_entry import CpuEntry

_MAGIC = 0x336E_C578
_VERSION = 1  # the first with a memory map
_START_INFO = struct.Struct("<IIIIQQQQII")
_MODULE = struct.Struct("<QQQQ")
_MEMORY_MAP_ENTRY = struct.Struct("<QQII")


def enter_pvh(request: BootRequest, entry_gpa: int, initrd_place: tuple[int, int]) -> CpuEntry:
    """Writes the start info, its module list and its memory map to one page, and gives the CPU's state.

    Args:
        request: The boot; its command line is already at COMMAND_LINE_GPA.
        entry_gpa: The kernel's PVH entry point.
        initrd_place: Guest-physical address and size in bytes, (0, 0) for none.
    """
    modules = _MODULE.pack(*initrd_place, 0, 0) if initrd_place[1] else b""
    entries = memory_map(request.memory.size_bytes)
    modules_gpa = PVH_START_INFO_GPA + _START_INFO.size
    start_info = _START_INFO.pack(
        _MAGIC,
        _VERSION,
        0,
        1 if modules else 0,
        modules_gpa if modules else 0,
        COMMAND_LINE_GPA,
        request.acpi_rsdp_gpa,
        modules_gpa + len(modules),
        len(entries),
        0,
    )
    page = start_info + modules + b"".join([_MEMORY_MAP_ENTRY.pack(*entry, 0) for entry in entries])
    request.memory.write(PVH_START_INFO_GPA, page.ljust(PAGE_SIZE, b"\0"))
    return enter_pvh32(request.memory, entry_gpa, PVH_START_INFO_GPA)
