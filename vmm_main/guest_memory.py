"""Guest memory: one sealed memfd, mapped once, seen by the guest as RAM below and above the 32-bit hole.

The descriptor is what device processes get. It is sealed against shrinking and growing before anyone else
sees it, so that nobody can pull pages away under a process that has it mapped (DESIGN §2).
"""

from __future__ import annotations

import fcntl
import posix as os

from vmm_main.errors import HostError
from vmm_main.kvm._kvm import ffi, lib
from vmm_main.machine.address_map import HIGH_RAM_START_GPA, LOW_RAM_END_GPA

# <linux/fcntl.h>; the fcntl module has them from Python 3.8 on, but not under every C library.
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class MemoryRegion:
    """size bytes of RAM at guest-physical address gpa, kept at offset in the memfd."""

    __slots__ = ("gpa", "offset", "size")

    def __init__(self, gpa: int, size: int, offset: int) -> None:
        self.gpa = gpa
        self.size = size
        self.offset = offset


class GuestMemory:
    """The RAM of one VM. It outlives the KVM VM: a reboot makes a new one over the same memory."""

    __slots__ = ("_address", "_base", "fd", "regions", "size_bytes")

    def __init__(self, size_bytes: int, *, include_in_core: bool) -> None:
        """Makes and maps size_bytes of zeros; no page is taken from the host before it is touched.

        Args:
            size_bytes: All RAM of the guest; what doesn't fit below the 32-bit hole goes to 4 GiB and up.
            include_in_core: Whether a core dump of this process holds the guest's pages.

        Raises:
            HostError: The host can't provide the memory.
        """
        self.size_bytes = size_bytes
        low_size = min(size_bytes, LOW_RAM_END_GPA)
        self.regions = [MemoryRegion(0, low_size, 0)]
        if size_bytes > low_size:
            self.regions.append(MemoryRegion(HIGH_RAM_START_GPA, size_bytes - low_size, low_size))
        try:
            self.fd = os.memfd_create("bulkhead-guest-memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self.fd, size_bytes)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
        except OSError as error:
            raise HostError(f"-m: the host can't provide {size_bytes >> 20} MiB: {error.strerror}") from error
        self._address = lib.guest_memory_map(self.fd, size_bytes)
        if self._address == ffi.NULL:
            raise HostError(f"-m: can't map {size_bytes >> 20} MiB of guest memory: {os.strerror(ffi.errno)}")
        self._base = int(ffi.cast("uintptr_t", self._address))
        if not include_in_core:
            result = lib.guest_memory_exclude_from_core(self._address, size_bytes)
            if result < 0:
                raise HostError(f"dump-guest-core=off: the kernel refuses it: {os.strerror(-result)}")

    def host_address(self, region: MemoryRegion) -> int:
        """Where region is mapped in this process, as KVM wants to know it."""
        return self._base + region.offset

    def _offset(self, gpa: int, length: int) -> int:
        for region in self.regions:
            if region.gpa <= gpa and gpa + length <= region.gpa + region.size:
                return region.offset + gpa - region.gpa
        raise ValueError(f"{length} bytes at guest-physical {gpa:#x} aren't all RAM")

    def is_ram(self, gpa: int, length: int) -> bool:
        """Whether length bytes at guest-physical address gpa are all RAM, in one piece."""
        return any(region.gpa <= gpa and gpa + length <= region.gpa + region.size for region in self.regions)

    def write(self, gpa: int, data: bytes | bytearray | memoryview) -> None:
        """Copies data to guest-physical address gpa.

        Raises:
            ValueError: Not all of it is RAM.
        """
        offset = self._offset(gpa, len(data))
        ffi.memmove(self._address + offset, data, len(data))

    def read(self, gpa: int, length: int) -> bytes:
        """A copy of length bytes at guest-physical address gpa.

        Raises:
            ValueError: Not all of it is RAM.
        """
        offset = self._offset(gpa, length)
        return bytes(ffi.buffer(self._address + offset, length))

    def zero(self, gpa: int, length: int) -> None:
        """Fills length bytes at gpa with zeros.

        Raises:
            ValueError: Not all of it is RAM.
        """
        offset = self._offset(gpa, length)
        lib.memset(self._address + offset, 0, length)

    def load_file(self, fd: int, file_offset: int, gpa: int, length: int) -> int:
        """Reads length bytes of a file straight into guest memory.

        Returns:
            The bytes read: less than length where the file ends before.

        Raises:
            ValueError: Not all of the destination is RAM.
            OSError: The file can't be read.
        """
        offset = self._offset(gpa, length)
        result = int(lib.guest_memory_load(fd, file_offset, self._address + offset, length))
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def close(self) -> None:
        """Unmaps the memory and closes the descriptor."""
        if self.fd >= 0:
            lib.guest_memory_unmap(self._address, self.size_bytes)
            os.close(self.fd)
            self.fd = -1
