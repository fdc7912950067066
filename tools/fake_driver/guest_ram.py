"""Guest memory without a guest: a sealed memfd as main makes it, mapped here too."""

from __future__ import annotations

import fcntl
import mmap
import os

from tools.fake_driver.extension import ffi


class GuestRam:
    """One region of RAM.

    Attributes:
        fd: The memfd.
        gpa: Where the guest has it.
        size: In bytes.
    """

    def __init__(self, size: int, gpa: int = 0, fd: int = -1) -> None:
        """Makes the memory, or takes over fd, a memfd that somebody else has made."""
        self.gpa = gpa
        self.size = size
        self.fd = fd if fd >= 0 else _make_memfd(size)
        self._map = mmap.mmap(self.fd, size)
        self._view = ffi.from_buffer("uint8_t[]", self._map, require_writable=True)

    def address_of_gpa_zero(self) -> int:
        """The address here that guest-physical 0 would have."""
        return int(ffi.cast("uintptr_t", self._view)) - self.gpa

    def write(self, gpa: int, data: bytes) -> None:
        """Copies data to guest-physical gpa."""
        self._map[gpa - self.gpa : gpa - self.gpa + len(data)] = data

    def read(self, gpa: int, length: int) -> bytes:
        """A copy of what is at guest-physical gpa."""
        return self._map[gpa - self.gpa : gpa - self.gpa + length]

    def table(self) -> list[dict[str, int | bool]]:
        """The memory table for CONFIGURE."""
        return [{"gpa": self.gpa, "size": self.size, "offset": 0, "writable": True}]

    def close(self) -> None:
        """Unmaps it and closes the memfd."""
        ffi.release(self._view)
        self._map.close()
        os.close(self.fd)


def _make_memfd(size: int) -> int:
    fd = os.memfd_create("fake-guest-memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd
