"""Reads of a disk through the fake driver's queue, many at a time, and a look at what they brought."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tools.fake_driver.driver_queue import DriverError, DriverQueue
from tools.fake_driver.extension import ffi, lib
from tools.fake_driver.guest_ram import GuestRam

SECTOR_BYTES = 512
_HEADER = struct.Struct("<IIQ")
_PAGE = 4096
_DESCRIPTORS = 3  # of a chain


@dataclass(frozen=True)
class Pattern:
    """Which blocks are read, and how many at a time.

    Attributes:
        block_bytes: How much each request reads, a multiple of the sector.
        depth: Requests in flight.
        seed: Of the random numbers, not 0; None reads the disk from its beginning on.
    """

    block_bytes: int
    depth: int
    seed: int | None


class BlockReads:
    """A load of reads. A queue may have several, one after the other."""

    def __init__(self, ram: GuestRam, queue: DriverQueue, disk_bytes: int, pattern: Pattern) -> None:
        """Lays out headers, status bytes and buffers where the queue has its buffers.

        Args:
            ram: Guest memory.
            queue: Of ram, with nothing in flight.
            disk_bytes: The disk's size.
            pattern: What to read.
        """
        block_bytes, depth = pattern.block_bytes, pattern.depth
        if depth * _DESCRIPTORS > queue.num:
            raise ValueError(f"a queue of {queue.num} has no room for {depth} requests")
        self._ram = ram
        self._block_bytes = block_bytes
        self._depth = depth
        reads = self._c = ffi.new("struct block_reads *")
        reads.queue = queue.handle
        reads.headers_gpa = self._headers_gpa = queue.buffers_gpa
        reads.statuses_gpa = queue.buffers_gpa + depth * _HEADER.size
        end = reads.statuses_gpa + depth
        reads.buffers_gpa = self._buffers_gpa = (end + _PAGE - 1) & ~(_PAGE - 1)
        if self._buffers_gpa + depth * block_bytes > ram.gpa + ram.size:
            raise ValueError(f"{ram.size} bytes of RAM have no room for {depth} blocks of {block_bytes}")
        reads.blocks = disk_bytes // block_bytes
        reads.block_bytes = block_bytes
        reads.depth = depth
        reads.sequential = pattern.seed is None
        reads.state = pattern.seed or 0
        lib.block_reads_init(reads)

    def run(self, requests: int, timeout_s: float) -> None:
        """Reads so many blocks.

        Raises:
            TimeoutError: The device was silent for timeout_s.
            DriverError: A request failed, or came back otherwise than it should.
        """
        result = lib.block_reads_run(self._c, requests, int(timeout_s * 1000))
        if result == -errno.EPROTO:
            raise DriverError("the device completed a chain that it didn't have, or not all of a block")
        if result == -errno.EIO:
            raise DriverError("the device completed a read with a status other than OK")
        if result < 0:
            raise TimeoutError(f"{requests} reads aren't done: {os.strerror(-result)}")

    def held(self) -> Iterator[tuple[int, bytes]]:
        """What is in memory now: for each buffer the disk's offset that it was read from, and its content."""
        for slot in range(self._depth):
            header = self._ram.read(self._headers_gpa + slot * _HEADER.size, _HEADER.size)
            _, _, sector = _HEADER.unpack(header)
            buffer = self._ram.read(self._buffers_gpa + slot * self._block_bytes, self._block_bytes)
            yield sector * SECTOR_BYTES, buffer
