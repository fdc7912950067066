"""The in-flight log of a device that completes out of order: main owns it, its processes write it."""

from __future__ import annotations

import posix as os

from vmm_main.errors import HostError
from vmm_main.kvm._kvm import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# As device_procs/data_plane/inflight_log_cdef.h says; main loads nothing of a device's C.
_HEADER_BYTES = 16
_ENTRY_BYTES = 16
_ALIGNMENT = 64
# <linux/fcntl.h>: nobody can shrink it under a successor, for which that would be a SIGBUS.
_F_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4  # SEAL, SHRINK, GROW


class InflightMemory:
    """A memfd with a log for each queue, which main only ever clears.

    Attributes:
        fd: For CONFIGURE.
    """

    __slots__ = ("_address", "_bytes", "fd")

    def __init__(self, queue_sizes: Sequence[int]) -> None:
        """Makes it, all zeroes.

        Raises:
            HostError: The host has no memory or descriptor left.
        """
        import fcntl

        per_queue = _HEADER_BYTES + _ENTRY_BYTES * max(queue_sizes)
        per_queue += -per_queue % _ALIGNMENT
        self._bytes = per_queue * len(queue_sizes)
        try:
            self.fd = os.memfd_create("bulkhead-in-flight", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self.fd, self._bytes)
            fcntl.fcntl(self.fd, _F_ADD_SEALS, _SEALS)
        except OSError as error:
            raise HostError(f"can't make a device's in-flight log: {error.strerror}") from error
        self._address = lib.guest_memory_map(self.fd, self._bytes)
        if self._address == ffi.NULL:
            raise HostError(f"can't map a device's in-flight log: {os.strerror(ffi.errno)}")

    def clear(self) -> None:
        """For a driver that begins: nothing works on its rings yet."""
        ffi.memmove(self._address, bytes(self._bytes), self._bytes)

    def close(self) -> None:
        """Lets go of it."""
        if self.fd >= 0:
            lib.guest_memory_unmap(self._address, self._bytes)
            os.close(self.fd)
            self.fd = -1
