"""The black box of one device process: two pages that the process writes and main reads (black_box_cdef.h).

Main takes nothing in it on trust: a taken-over process can write anything there, at any time. So every
field is copied once and shown as what it is: a number, or a name from a table.
"""

from __future__ import annotations

import posix as os

from vmm_main.errors import HostError
from vmm_main.kvm._kvm import ffi, lib

# QMP's numbers have 64 bits with a sign, and its clients refuse a whole answer for one that is larger. Two of
# these have room together.
COUNTER_MAX = (1 << 62) - 1

# <linux/memfd.h>, <linux/fcntl.h>: the page can't be shrunk under main's feet, which would be a SIGBUS.
_F_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4  # SEAL, SHRINK, GROW


class BlackBox:
    """Two pages, made anew for every process."""

    __slots__ = ("_map", "fd")

    def __init__(self) -> None:
        """Makes and maps the pages.

        Raises:
            HostError: The host has no memory or descriptor left.
        """
        import fcntl

        try:
            self.fd = os.memfd_create("bulkhead-black-box", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self.fd, lib.BLACK_BOX_BYTES)
            fcntl.fcntl(self.fd, _F_ADD_SEALS, _SEALS)
        except OSError as error:
            raise HostError(f"can't make a device's black box: {error.strerror}") from error
        address = lib.guest_memory_map(self.fd, lib.BLACK_BOX_BYTES)
        if address == ffi.NULL:
            raise HostError(f"can't map a device's black box: {os.strerror(ffi.errno)}")
        self._map = ffi.cast("struct black_box *", address)
        self._map.magic = lib.BLACK_BOX_MAGIC

    @property
    def stage(self) -> int:
        """The last stage of its start that the process says it has reached (STAGE_*)."""
        return int(self._map.stage)

    @property
    def refused_call(self) -> tuple[int, int, int] | None:
        """Number, thread and RIP of the system call that a filter refused, or None."""
        thread = int(self._map.refused_thread)
        if thread == lib.BLACK_BOX_NO_THREAD:
            return None
        return int(self._map.refused_syscall), thread, int(self._map.refused_rip)

    @property
    def fault(self) -> tuple[int, int, int, int] | None:
        """Signal, thread, RIP and address of a fault that a handler could write down, or None."""
        number = int(self._map.fault_signal)
        if number == 0:
            return None
        return number, int(self._map.fault_thread), int(self._map.fault_rip), int(self._map.fault_address)

    @property
    def fault_was_sent(self) -> bool:
        """Whether that was a signal of another process."""
        return bool(self._map.fault_sent)

    @property
    def python_calls(self) -> int:
        """How often the data path has entered Python."""
        return int(self._map.python_calls)

    def queue_counters(self, index: int) -> dict[str, int]:
        """What a queue has done: popped, completed, kicks, signals."""
        queue = self._map.queues[index]
        return {
            "popped": min(int(queue.popped), COUNTER_MAX),
            "completed": min(int(queue.completed), COUNTER_MAX),
            "kicks": min(int(queue.kicks), COUNTER_MAX),
            "signals": min(int(queue.signals), COUNTER_MAX),
        }

    def queue_life(self, index: int) -> tuple[int, int, int, tuple[int, int]]:
        """How far a queue and its worker have come.

        Returns:
            The worker's number; its turns and its calls of the host, 0 if this isn't the first of its queues;
            what the queue has popped and completed.
        """
        queue = self._map.queues[index]
        done = int(queue.popped), int(queue.completed)
        return int(queue.worker), int(queue.turns), int(queue.host_calls), done

    def device_counter(self, place: int) -> int:
        """One of the device's own counters."""
        return min(int(self._map.device_counters[place]), COUNTER_MAX)

    def close(self) -> None:
        """Unmaps the pages and closes the descriptor."""
        if self.fd >= 0:
            lib.guest_memory_unmap(self._map, lib.BLACK_BOX_BYTES)
            os.close(self.fd)
            self.fd = -1
