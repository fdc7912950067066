"""Guest memory of a device process: mapped by the table in CONFIGURE, and the descriptor closed."""

from __future__ import annotations

import posix as os

from device_procs.data_plane._data_plane import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def map_memory(memory_fd: int, table: list[dict[str, Any]]) -> Any:
    """Maps every region of the table, and closes memory_fd: from then on nobody can map more of it.

    Returns:
        A struct guest_memory *.

    Raises:
        OSError: A region can't be mapped.
    """
    memory = ffi.new("struct guest_memory *")
    lib.guest_memory_init(memory)
    try:
        for region in table:
            gpa, size, offset = region["gpa"], region["size"], region["offset"]
            error = lib.guest_memory_map(memory, memory_fd, gpa, size, offset, region["writable"])
            if error < 0:
                raise OSError(-error, f"guest memory at {gpa:#x}, {size} bytes: {os.strerror(-error)}")
    finally:
        os.close(memory_fd)
    return memory
