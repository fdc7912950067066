"""Guest memory for the loaders' tests: sparse, strict about what is RAM, and with a record of every write."""

from __future__ import annotations

import itertools
import mmap
import os

from vmm_main.machine.address_map import HIGH_RAM_START_GPA, LOW_RAM_END_GPA

MIB = 1 << 20
GIB = 1 << 30


class FakeGuestMemory:
    """Behaves as vmm_main.guest_memory.GuestMemory does.

    Attributes:
        writes: (gpa, length) of everything written, zeroed or loaded, in order.
    """

    def __init__(self, size_bytes: int, *, dirt: int = 0) -> None:
        """Maps size_bytes of private memory; dirt fills the first 64 MiB, as a guest leaves it behind."""
        self.size_bytes = size_bytes
        self.writes: list[tuple[int, int]] = []
        # MAP_NORESERVE (0x4000, <asm-generic/mman.h>): untouched pages cost nothing, so 512 GiB fit anywhere.
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000
        self._memory = mmap.mmap(-1, size_bytes, flags=flags)
        if dirt:
            filled = min(size_bytes, 64 * MIB)
            self._memory[:filled] = bytes((dirt,)) * filled

    def write(self, gpa: int, data: bytes | bytearray) -> None:
        offset = self._offset(gpa, len(data))
        self._memory[offset : offset + len(data)] = bytes(data)
        self.writes.append((gpa, len(data)))

    def read(self, gpa: int, length: int) -> bytes:
        offset = self._offset(gpa, length)
        return self._memory[offset : offset + length]

    def zero(self, gpa: int, length: int) -> None:
        self.write(gpa, bytes(length))

    def load_file(self, fd: int, file_offset: int, gpa: int, length: int) -> int:
        self._offset(gpa, length)
        content = os.pread(fd, length, file_offset)
        self.write(gpa, content)
        return len(content)

    def close(self) -> None:
        self._memory.close()

    def assert_nothing_written_twice(self) -> None:
        """Fails if any two parts of what a boot put into memory overlap."""
        parts = sorted(part for part in self.writes if part[1])
        for (gpa, length), (next_gpa, _) in itertools.pairwise(parts):
            assert gpa + length <= next_gpa, f"{gpa:#x}+{length:#x} runs into {next_gpa:#x}"

    def _offset(self, gpa: int, length: int) -> int:
        low_end = min(self.size_bytes, LOW_RAM_END_GPA)
        if gpa >= 0 and gpa + length <= low_end:
            return gpa
        if gpa >= HIGH_RAM_START_GPA and gpa + length <= HIGH_RAM_START_GPA + self.size_bytes - low_end:
            return gpa - HIGH_RAM_START_GPA + low_end
        raise ValueError(f"{length} bytes at guest-physical {gpa:#x} aren't all RAM")
