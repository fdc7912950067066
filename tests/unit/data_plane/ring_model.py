"""A split virtqueue's device side by virtio 1.2 §2.7, in plain Python: what the C is compared with."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hypothesis.vendor.pretty import RepresentationPrinter

NEXT, WRITE, INDIRECT = 1, 2, 4
SEGMENTS_MAX = 1024


class Malformed(Exception):  # noqa: N818 (the driver's mistake, not an error here)
    """The driver has broken a rule."""


@dataclass
class Region:
    gpa: int
    content: bytearray
    writable: bool = True

    def __repr__(self) -> str:
        """What is in it and isn't zero, a line of 16 bytes at a time: short enough to be read."""
        lines = {
            hex(self.gpa + at): self.content[at : at + 16].hex()
            for at in range(0, len(self.content), 16)
            if any(self.content[at : at + 16])
        }
        return f"Region({self.gpa:#x}, {len(self.content)} bytes, writable={self.writable}, {lines})"

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        """The same for Hypothesis, which refuses to print a failing case of a hundred thousand bytes."""
        printer.text(repr(self))


@dataclass
class Memory:
    regions: list[Region]

    def region(self, gpa: int, length: int, *, writable: bool = False) -> Region:
        for region in self.regions:
            inside = region.gpa <= gpa and gpa + length <= region.gpa + len(region.content)
            if inside and (region.writable or not writable):
                return region
        raise Malformed("not in RAM")

    def read(self, gpa: int, length: int) -> bytes:
        region = self.region(gpa, length)
        return bytes(region.content[gpa - region.gpa : gpa - region.gpa + length])

    def write(self, gpa: int, data: bytes) -> None:
        region = self.region(gpa, len(data), writable=True)
        region.content[gpa - region.gpa : gpa - region.gpa + len(data)] = data

    def u16(self, gpa: int) -> int:
        return int.from_bytes(self.read(gpa, 2), "little")


@dataclass
class Chain:
    head: int
    segments: list[tuple[str, int, int]] = field(default_factory=list)  # "r" or "w", gpa, length

    def add(self, memory: Memory, gpa: int, length: int, *, writable: bool) -> None:
        kind = "w" if writable else "r"
        if kind == "r" and any(other == "w" for other, _, _ in self.segments):
            raise Malformed("readable after writable")
        memory.region(gpa, length, writable=writable)
        self.segments.append((kind, gpa, length))
        total = sum(length for other, _, length in self.segments if other == kind)
        if len(self.segments) > SEGMENTS_MAX or total >= 1 << 32:
            raise Malformed("too long")

    def bytes(self, kind: str) -> int:
        return sum(length for other, _, length in self.segments if other == kind)


@dataclass
class Model:
    memory: Memory
    num: int
    desc: int
    avail: int
    used: int
    indirect: bool
    base: int  # where it goes on; below 0 wherever the used ring is

    def __post_init__(self) -> None:
        if self.num not in [1 << bit for bit in range(11)]:
            raise Malformed("size")
        if self.desc % 16 or self.avail % 2 or self.used % 4:
            raise Malformed("alignment")
        self.memory.region(self.desc, 16 * self.num)
        self.memory.region(self.avail, 6 + 2 * self.num)
        self.memory.region(self.used, 6 + 8 * self.num, writable=True)
        used = range(self.used, self.used + 6 + 8 * self.num)
        for gpa, length in ((self.desc, 16 * self.num), (self.avail, 6 + 2 * self.num)):
            if any(byte in used for byte in range(gpa, gpa + length)):
                raise Malformed("overlap")
        self.next = self.memory.u16(self.used + 2)
        self.used_idx = self.next
        if self.base >= 0 and self.base != self.used_idx:
            raise Malformed("base")
        self.in_flight: set[int] = set()

    def pop(self) -> Chain | None:
        available = (self.memory.u16(self.avail + 2) - self.next) % 65536
        if available == 0:
            return None
        if available > self.num:
            raise Malformed("avail.idx jumped")
        head = self.memory.u16(self.avail + 4 + 2 * (self.next % self.num))
        if head >= self.num or head in self.in_flight:
            raise Malformed("head")
        chain = Chain(head)
        self._walk(chain, self.desc, self.num, head, may_be_indirect=True)
        self.in_flight.add(head)
        self.next = (self.next + 1) % 65536
        return chain

    def _walk(self, chain: Chain, table: int, size: int, index: int, *, may_be_indirect: bool) -> None:
        seen = set()
        while True:
            if index >= size or index in seen:
                raise Malformed("next")
            seen.add(index)
            gpa, length, flags, following = struct.unpack("<QIHH", self.memory.read(table + 16 * index, 16))
            if flags & INDIRECT:
                if not may_be_indirect or not self.indirect or flags & NEXT or length == 0 or length % 16:
                    raise Malformed("indirect")
                self.memory.region(gpa, length)
                self._walk(chain, gpa, length // 16, 0, may_be_indirect=False)
                return
            chain.add(self.memory, gpa, length, writable=bool(flags & WRITE))
            if not flags & NEXT:
                return
            index = following

    def complete(self, chain: Chain) -> None:
        entry = struct.pack("<II", chain.head, chain.bytes("w"))
        self.memory.write(self.used + 4 + 8 * (self.used_idx % self.num), entry)
        self.used_idx = (self.used_idx + 1) % 65536
        self.memory.write(self.used + 2, struct.pack("<H", self.used_idx))
        self.in_flight.remove(chain.head)
