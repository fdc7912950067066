"""A driver of virtio-blk (virtio 1.2 §5.2.6) on one queue: lays requests out in guest memory."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

from tools.fake_driver.driver_queue import DESC_F_NEXT, DESC_F_WRITE, DriverQueue
from tools.fake_driver.guest_ram import GuestRam

IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP = 0, 1, 2
UNMAP = 1
SECTOR = 512
NOT_WRITTEN = 0xFF  # what the status byte is before the device writes it
HANGS_AFTER_S = 20.0

_HEADER = struct.Struct("<IIQ")
RANGE = struct.Struct("<QII")
# Of guest memory, for each slot: header, status, then data.
_STATUS_AT = 16
_DATA_AT = 4096


@dataclass(frozen=True)
class Answer:
    """How a request has ended."""

    status: int
    written: int
    data: bytes


class DiskDriver:
    """Requests of at most three descriptors: header, data, status. Slot i has the heads from 3 * i on."""

    def __init__(self, ram: GuestRam, queue: DriverQueue, data_bytes: int = 65536) -> None:
        """Places for as many requests as fit, each with data_bytes.

        Args:
            ram: Guest memory.
            queue: With its rings laid out.
            data_bytes: A multiple of 4096.
        """
        self.ram = ram
        self.queue = queue
        self.data_bytes = data_bytes
        self._stride = _DATA_AT + data_bytes
        room = queue.STRIDE - (queue.buffers_gpa - queue.desc_gpa)
        self.slots = min(queue.num // 3, room // self._stride)
        self._lengths: dict[int, tuple[int, bool]] = {}

    def data_gpa(self, slot: int, skip: int = 0) -> int:
        """Where a slot's data begins, in guest memory."""
        return self.queue.buffers_gpa + slot * self._stride + _DATA_AT + skip

    def status_gpa(self, slot: int) -> int:
        """Where its status byte is."""
        return self.queue.buffers_gpa + slot * self._stride + _STATUS_AT

    def offer(
        self, slot: int, kind: int, sector: int = 0, out: bytes = b"", *, room: int = 0, skip: int = 0
    ) -> None:
        """Makes a request available without a kick.

        Args:
            slot: Which place it takes.
            kind: Its type.
            sector: Where.
            out: What the device reads.
            room: Bytes that the device may write, without the status.
            skip: How far into its page the data begins.
        """
        base = self.queue.buffers_gpa + slot * self._stride
        data = self.data_gpa(slot, skip)
        self.ram.write(base, _HEADER.pack(kind, 0, sector))
        self.ram.write(base + _STATUS_AT, bytes([NOT_WRITTEN]))
        self.ram.write(data, out)
        head = 3 * slot
        self.queue.set_descriptor(head, base, _HEADER.size, DESC_F_NEXT, head + 1)
        length = len(out) or room
        if length:
            flags = DESC_F_NEXT | (0 if out else DESC_F_WRITE)
            self.queue.set_descriptor(head + 1, data, length, flags, head + 2)
            self.queue.set_descriptor(head + 2, base + _STATUS_AT, 1, DESC_F_WRITE)
        else:
            self.queue.set_descriptor(head + 1, base + _STATUS_AT, 1, DESC_F_WRITE)
        self._lengths[slot] = (data, bool(room))
        self.queue.put(head)

    def publish(self) -> None:
        """Shows the device what was offered, and kicks."""
        self.queue.offer()

    def wait(self, timeout_s: float = HANGS_AFTER_S) -> tuple[int, Answer]:
        """The next request that has ended: its slot, and how."""
        head, written = self.queue.wait(timeout_s)
        return head // 3, self.answer(head // 3, written)

    def answer(self, slot: int, written: int) -> Answer:
        """What a request that has ended has left in memory."""
        base = self.queue.buffers_gpa + slot * self._stride
        data, has_room = self._lengths[slot]
        length = max(0, written - 1) if has_room else 0
        return Answer(self.ram.read(base + _STATUS_AT, 1)[0], written, self.ram.read(data, length))

    def do(
        self, kind: int, sector: int = 0, out: bytes = b"", *, room: int = 0, slot: int = 0, skip: int = 0
    ) -> Answer:
        """One request and its end."""
        self.offer(slot, kind, sector, out, room=room, skip=skip)
        self.publish()
        ended, answer = self.wait()
        assert ended == slot
        return answer

    def read(self, sector: int, count: int = 1) -> bytes:
        """Sectors, which must be readable."""
        answer = self.do(IN, sector, room=count * SECTOR)
        assert (answer.status, answer.written) == (OK, count * SECTOR + 1)
        return answer.data

    def write(self, sector: int, data: bytes) -> None:
        """Sectors, which must be writable."""
        answer = self.do(OUT, sector, data)
        assert (answer.status, answer.written) == (OK, 1)


def lay_out_reads(ram: GuestRam, queue: DriverQueue, depth: int, image_bytes: int) -> None:
    """Makes heads 0 to depth - 1 reads of a page each, at random places, for DriverQueue.run()."""
    for head in range(depth):
        base = queue.buffers_gpa + head * 2 * _DATA_AT
        sector = random.randrange(image_bytes // _DATA_AT) * (_DATA_AT // SECTOR)
        ram.write(base, _HEADER.pack(IN, 0, sector))
        second = depth + 2 * head
        queue.set_descriptor(head, base, _HEADER.size, DESC_F_NEXT, second)
        queue.set_descriptor(second, base + _DATA_AT, _DATA_AT, DESC_F_NEXT | DESC_F_WRITE, second + 1)
        queue.set_descriptor(second + 1, base + _STATUS_AT, 1, DESC_F_WRITE)


def ranges(*each: tuple[int, int, int]) -> bytes:
    """What DISCARD and WRITE_ZEROES are about: (sector, count, flags) each."""
    return b"".join(RANGE.pack(*one) for one in each)
