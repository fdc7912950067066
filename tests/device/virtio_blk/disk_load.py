"""A load of reads, writes, discards and flushes, and the ledger that knows what every block must hold.

One block is never in two requests at a time, so what was acknowledged last is what must be there.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

from tools.fake_driver.disk_driver import (
    DISCARD,
    FLUSH,
    IN,
    NOT_WRITTEN,
    OK,
    OUT,
    SECTOR,
    DiskDriver,
    ranges,
)
from tools.fake_driver.driver_queue import DriverQueue

BLOCK_BYTES = 4096
_SECTORS = BLOCK_BYTES // SECTOR
# Others go on past a request that is slow, but not so many.
_OVERTAKEN_BY_MOST = 20000


class LostOrDoubledError(Exception):
    """The device has not done what it has acknowledged, or has not done it once."""


def content(block: int, number: int) -> bytes:
    """What the write with that number puts there; zeroes for number 0."""
    return bytes(BLOCK_BYTES) if number == 0 else struct.pack("<QQ", block, number) * (BLOCK_BYTES // 16)


class DiskLoad:
    """Keeps a number of requests with the device.

    Attributes:
        acknowledged: How many requests have ended well.
        overtaken: How many of them after one that was offered later.
    """

    def __init__(self, driver: DiskDriver, blocks: range, depth: int, seed: int) -> None:
        """Begins with an image of zeroes.

        Args:
            driver: With room for BLOCK_BYTES in each slot.
            blocks: Of the image, which nobody else touches.
            depth: How many requests at a time.
            seed: Of what is random.
        """
        self._driver = driver
        self._random = random.Random(seed)
        self._ledger = dict.fromkeys(blocks, 0)  # the number of each block's last acknowledged write, or 0
        self._free_blocks = list(blocks)
        self._free_slots = list(range(min(depth, driver.slots)))
        self._in_flight: dict[int, tuple[int, int, int, int]] = {}  # slot -> kind, block, number, order
        self._order = 0
        self.acknowledged = 0
        self.overtaken = 0

    @property
    def queue(self) -> DriverQueue:
        """The driver's."""
        return self._driver.queue

    @property
    def in_flight(self) -> int:
        """How many the driver waits for."""
        return len(self._in_flight)

    def top_up(self) -> None:
        """Offers as many as are wanted, and kicks."""
        while self._free_slots:
            self._offer(self._free_slots.pop())
        self._driver.publish()

    def _offer(self, slot: int) -> None:
        kind = self._random.choices((OUT, IN, DISCARD, FLUSH), (60, 20, 5, 15))[0]
        self._order += 1
        place = self._random.randrange(len(self._free_blocks))
        self._free_blocks[place], self._free_blocks[-1] = self._free_blocks[-1], self._free_blocks[place]
        block = self._free_blocks.pop()
        sector = block * _SECTORS
        self._in_flight[slot] = (kind, block, self._order, self._order)
        if kind == OUT:
            self._driver.offer(slot, OUT, sector, content(block, self._order))
        elif kind == IN:
            self._driver.offer(slot, IN, sector, room=BLOCK_BYTES)
        elif kind == DISCARD:
            self._driver.offer(slot, DISCARD, 0, ranges((sector, _SECTORS, 0)))
        else:
            self._driver.offer(slot, FLUSH)

    def take(self) -> int:
        """Takes what has ended, and checks it; returns how many.

        Raises:
            LostOrDoubledError: It isn't what it should be.
            DriverError: A chain came back that the device didn't have.
        """
        count = 0
        while (taken := self._driver.queue.take()) is not None:
            head, written = taken
            self._check(head // 3, written)
            count += 1
        return count

    def _check(self, slot: int, written: int) -> None:
        kind, block, number, order = self._in_flight.pop(slot)
        answer = self._driver.answer(slot, written)
        if answer.status == NOT_WRITTEN:
            raise LostOrDoubledError(f"request {order} came back before it was done: an old one came twice")
        if answer.status != OK:
            raise LostOrDoubledError(f"request {order} (type {kind}) came back with status {answer.status}")
        if kind == IN and answer.data != content(block, self._ledger[block]):
            raise LostOrDoubledError(f"block {block} isn't what write {self._ledger[block]} has put there")
        if kind in (OUT, DISCARD):
            self._ledger[block] = number if kind == OUT else 0
        self._free_blocks.append(block)
        self._free_slots.append(slot)
        self.acknowledged += 1
        oldest = min((each[3] for each in self._in_flight.values()), default=order)
        self.overtaken += oldest < order
        if self._order - oldest > _OVERTAKEN_BY_MOST:
            raise LostOrDoubledError(f"request {oldest} was lost: {self._order - oldest} were offered since")

    def check_image(self, image: Path) -> None:
        """Compares every block, once nothing is in flight.

        Raises:
            LostOrDoubledError: One isn't what was acknowledged.
        """
        assert not self._in_flight
        with image.open("rb") as file:
            for block, number in self._ledger.items():
                file.seek(block * BLOCK_BYTES)
                if file.read(BLOCK_BYTES) != content(block, number):
                    raise LostOrDoubledError(
                        f"block {block} of the image isn't what write {number} has put there"
                    )
