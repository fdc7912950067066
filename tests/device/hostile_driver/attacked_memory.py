"""Guest memory with something around it: what a device must not touch is there to be compared."""

from __future__ import annotations

import errno
import os

from tools.fake_driver.driver_queue import DriverQueue
from tools.fake_driver.guest_ram import GuestRam

PART = 64 << 10
SPARSE_GPA, SPARSE_BYTES = 1 << 41, 512 << 20
TOP_GPA = (1 << 64) - 2 * PART  # the last region ends near the end of all addresses

Range = tuple[int, int]  # where in the memory, and how many bytes


class AttackedMemory(GuestRam):
    """A memfd of which the device is given four regions; between and behind them lies what isn't its.

    RAM begins at 0, with the same place in the memfd. Then come a hole, a part that may only be read, a
    hole, a part whose guest-physical addresses end 64 KiB before the last one there is, and a hole. At the
    file's end is a large region that stays sparse: for chains of many bytes, of which none is touched.

    Attributes:
        ram_bytes: Of the first region.
        hole_gpa: Where nothing is.
        read_only_gpa: Of the part that may be read only.
        top_at: Where the last region is in the memfd.
        sparse_gpa: Of the large region.
    """

    sparse_gpa = SPARSE_GPA

    def __init__(self, queues: int) -> None:
        """RAM for the rings and buffers of so many queues."""
        self.ram_bytes = max(1, queues) * DriverQueue.STRIDE
        self.hole_gpa = self.ram_bytes
        self.read_only_gpa = self.ram_bytes + PART
        self.top_at = self.ram_bytes + 3 * PART
        self.sparse_at = self.ram_bytes + 5 * PART
        super().__init__(self.sparse_at + SPARSE_BYTES)
        self.write(0, os.urandom(self.sparse_at))

    def table(self) -> list[dict[str, int | bool]]:
        """The memory table for CONFIGURE."""
        return [
            {"gpa": 0, "size": self.ram_bytes, "offset": 0, "writable": True},
            {"gpa": self.read_only_gpa, "size": PART, "offset": self.read_only_gpa, "writable": False},
            {"gpa": SPARSE_GPA, "size": SPARSE_BYTES, "offset": self.sparse_at, "writable": True},
            {"gpa": TOP_GPA, "size": PART, "offset": self.top_at, "writable": True},
        ]

    def place_of(self, gpa: int) -> int:
        """Where in the memfd a guest-physical address is that is RAM."""
        return gpa - TOP_GPA + self.top_at if gpa >= TOP_GPA else gpa

    def is_sparse(self) -> bool:
        """Whether nobody has written to the large region."""
        try:
            os.lseek(self.fd, self.sparse_at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return True
        return False

    def watch(self) -> Watch:
        """Notes what everything holds now."""
        return Watch(self)


class Watch:
    """What memory held at one time, and what may have been written since."""

    def __init__(self, memory: AttackedMemory) -> None:
        self._memory = memory
        self._before = memory.read(0, memory.sparse_at)

    def written_outside(self, allowed: list[Range]) -> list[Range]:
        """Ranges that have changed and aren't in `allowed`, by their places in the memfd."""
        memory = self._memory
        if not memory.is_sparse():
            return [(memory.sparse_at, SPARSE_BYTES)]
        before, now = bytearray(self._before), bytearray(memory.read(0, memory.sparse_at))
        for at, length in allowed:
            now[at : at + length] = before[at : at + length]
        if now == before:
            return []
        changed = [at for at in range(len(now)) if now[at] != before[at]]
        return [(changed[0], changed[-1] + 1 - changed[0])]
