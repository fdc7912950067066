"""One attack on one queue: the driver's rings as a case spoils them, and what may come of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Protocol

from tests.device.hostile_driver.attacked_memory import Range
from tests.device.hostile_driver.declaration import FILL, DeclaredDevice, Request
from tools.fake_driver.driver_queue import DESC_F_INDIRECT, DESC_F_NEXT, DESC_F_WRITE, DriverQueue

NUM = 16  # entries of an attacked queue
_ENTRY = struct.Struct("<QIHH")
_TABLES_AT = (
    0x1000  # of indirect tables, from the queue's rings on; a buffer's place is 4 KiB, and one is free
)
_BUFFERS_AT = 0x8000
_PLACE = 0x2000
ROOM_FOR_BUFFERS = 100


class Memory(Protocol):
    """Guest memory, and where in it what is. See AttackedMemory."""

    ram_bytes: int
    hole_gpa: int
    read_only_gpa: int
    top_at: int
    sparse_gpa: int

    def read(self, gpa: int, length: int, /) -> bytes: ...
    def write(self, gpa: int, data: bytes, /) -> None: ...
    def place_of(self, gpa: int, /) -> int: ...


@dataclass
class Descriptor:
    """One entry of a descriptor table, before it is written."""

    gpa: int
    length: int
    flags: int = 0
    following: int = 0

    def pack(self) -> bytes:
        return _ENTRY.pack(self.gpa, self.length, self.flags, self.following)


@dataclass(frozen=True)
class Pending:
    """A chain that must come back answered."""

    request: Request
    writable: list[Range]


def linked(chain: list[Descriptor], first: int = 0) -> list[Descriptor]:
    """Makes a chain of descriptors that will lie one behind the other, from entry `first` on."""
    for place, descriptor in enumerate(chain[:-1], first + 1):
        descriptor.flags |= DESC_F_NEXT
        descriptor.following = place
    return chain


class Attack:
    """What a case does to a queue's rings and buffers.

    Attributes:
        queue: Whose driver is hostile.
        memory: The guest's.
        shape: A well-formed request of the queue.
        pending: By head, chains that must come back once each.
        allowed: What the device may write, beside the used ring.
    """

    def __init__(self, queue: DriverQueue, memory: Memory, device: DeclaredDevice, number: int) -> None:
        """Rings empty, buffers free.

        Args:
            queue: Its rings.
            memory: Where they are.
            device: Whose requests there are.
            number: Of the queue.
        """
        self.queue = queue
        self.memory = memory
        self.shape = device.shape_of(number)
        self.pending: dict[int, Pending] = {}
        self.allowed: list[Range] = []
        self.tables_gpa = queue.desc_gpa + _TABLES_AT
        self._buffers = 0
        self._avail_idx: int | None = None

    # Buffers and tables.

    def buffer(self, content: bytes) -> int:
        """A place of its own with this content; returns where."""
        gpa = self.queue.desc_gpa + _BUFFERS_AT + self._buffers * _PLACE
        self._buffers += 1 + len(content) // (_PLACE // 2)
        self.memory.write(gpa, content)
        return gpa

    def reuse_buffers(self) -> None:
        """Has places for buffers again: nothing that was offered is with the device any more."""
        assert not self.pending
        self._buffers = 0

    def has_room_for_buffers(self) -> bool:
        """Whether any request still finds places."""
        return self._buffers < ROOM_FOR_BUFFERS

    def chain(self, request: Request | None = None) -> list[Descriptor]:
        """A request's buffers in memory, and a descriptor each, not yet linked; the shape's by default."""
        request = self.shape if request is None else request
        chain = [Descriptor(self.buffer(content), len(content)) for content in request.readable]
        for length in request.writable:
            chain.append(Descriptor(self.buffer(bytes([FILL]) * length), length, DESC_F_WRITE))
        return chain

    def expect(self, head: int, chain: list[Descriptor], request: Request | None = None) -> None:
        """The chain of this head must come back as the request should."""
        writable = [
            (self.memory.place_of(part.gpa), part.length) for part in chain if part.flags & DESC_F_WRITE
        ]
        self.pending[head] = Pending(self.shape if request is None else request, writable)
        self.allowed += writable

    def write_table(self, gpa: int, chain: list[Descriptor]) -> int:
        """Writes an indirect table at a guest-physical address; returns its length."""
        table = b"".join(descriptor.pack() for descriptor in chain)
        self.memory.write(self.memory.place_of(gpa), table)
        return len(table)

    def write_direct(self, chain: list[Descriptor], first: int = 0) -> None:
        """Writes entries of the queue's own table."""
        for index, descriptor in enumerate(chain, first):
            self.memory.write(self.queue.desc_gpa + 16 * index, descriptor.pack())

    # Chains offered.

    def offer(self, chain: list[Descriptor], first: int = 0) -> int:
        """Offers entries, as they are, by the head `first`."""
        self.write_direct(chain, first)
        self.queue.put(first)
        return first

    def offer_by_table(self, table: list[Descriptor], gpa: int | None = None, flags: int = 0) -> Descriptor:
        """Offers an indirect table, as it is, by entry 0; returns that."""
        gpa = self.tables_gpa if gpa is None else gpa
        refers = Descriptor(gpa, self.write_table(gpa, table), DESC_F_INDIRECT | flags)
        self.offer([refers])
        return refers

    def offer_well_formed(self, request: Request | None = None, first: int = 0) -> None:
        """Offers a request that must be answered."""
        chain = linked(self.chain(request), first)
        self.expect(self.offer(chain, first), chain, request)

    def offer_well_formed_by_table(self, request: Request, head: int) -> None:
        """The same by an indirect table, of which each head has one."""
        chain = linked(self.chain(request))
        self.expect(head, chain, request)
        gpa = self.tables_gpa + 0x100 * head
        self.offer([Descriptor(gpa, self.write_table(gpa, chain), DESC_F_INDIRECT)], head)

    def set_avail_idx(self, idx: int) -> None:
        """Says what publish() shows as the available ring's index, whatever was offered."""
        self._avail_idx = idx % 65536

    def publish(self) -> None:
        """Shows the device what was offered."""
        self.queue.offer()
        if self._avail_idx is not None:
            self.memory.write(self.queue.avail_gpa + 2, struct.pack("<H", self._avail_idx))

    def set_avail_entry(self, place: int, head: int) -> None:
        """Writes an entry of the available ring."""
        self.memory.write(self.queue.avail_gpa + 4 + 2 * (place % NUM), struct.pack("<H", head))

    @property
    def writable_ranges(self) -> list[Range]:
        """All that the device may have written."""
        return [*self.allowed, (self.queue.used_gpa, 6 + 8 * NUM)]


def in_pieces(chain: list[Descriptor], most: int) -> list[Descriptor]:
    """The same bytes by more descriptors: up to `most` for each, of a byte at least."""
    pieces = []
    for whole in chain:
        count = max(1, min(most, whole.length))
        for number in range(count):
            begin, end = whole.length * number // count, whole.length * (number + 1) // count
            pieces.append(replace(whole, gpa=whole.gpa + begin, length=end - begin))
    return pieces
