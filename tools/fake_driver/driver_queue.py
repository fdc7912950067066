"""One queue of the fake driver: rings at fixed places in guest memory, and buffers behind them."""

from __future__ import annotations

import errno
import os
import select
import struct
from typing import Any

from tools.fake_driver.extension import ffi, lib
from tools.fake_driver.guest_ram import GuestRam

DESC_F_NEXT = 1
DESC_F_WRITE = 2
DESC_F_INDIRECT = 4
_DESCRIPTOR = struct.Struct("<QIHH")
_PAGE = 4096


class DriverError(Exception):
    """The device doesn't do what the driver may expect."""


class DriverQueue:
    """The driver's side of a virtqueue, with the eventfds that stand for notifications.

    Attributes:
        num: Its size.
        desc_gpa: Of the descriptor table.
        avail_gpa: Of the available ring.
        used_gpa: Of the used ring.
        buffers_gpa: Of the memory that its buffers may lie in, up to the next queue's rings.
    """

    STRIDE = 1 << 20  # of guest memory, for each queue

    def __init__(
        self, ram: GuestRam, index: int, num: int, eventfds: tuple[int, int], *, event_idx: bool
    ) -> None:
        """Lays the rings of queue `index` out in ram.

        Args:
            ram: Guest memory.
            index: Of the queue.
            num: Its size.
            eventfds: For kicks and for calls; they stay the caller's.
            event_idx: Whether VIRTIO_F_EVENT_IDX is negotiated.
        """
        self.num = num
        self._ram = ram
        self._eventfds = eventfds
        self._event_idx = event_idx
        base = ram.gpa + index * self.STRIDE
        self.desc_gpa = base
        self.avail_gpa = base + num * _DESCRIPTOR.size
        self.used_gpa = (self.avail_gpa + 6 + 2 * num + 3) & ~3
        end = self.used_gpa + 6 + 8 * num
        self.buffers_gpa = (end + _PAGE - 1) & ~(_PAGE - 1)
        self._c = ffi.new("struct fake_queue *")
        self._init()

    def _init(self) -> None:
        lib.fake_queue_init(
            self._c,
            ffi.cast("uint8_t *", self._ram.address_of_gpa_zero()),
            self.num,
            self.desc_gpa,
            self.avail_gpa,
            self.used_gpa,
            self._event_idx,
            *self._eventfds,
        )

    def reset(self) -> None:
        """Empty rings, as a driver makes them after it has reset the device."""
        self._ram.write(self.desc_gpa, bytes(self.buffers_gpa - self.desc_gpa))
        self._init()

    @property
    def handle(self) -> Any:
        """The C struct, for a load of its own kind."""
        return self._c

    @property
    def kicks(self) -> int:
        """How often the device was kicked."""
        return int(self._c.kicks)

    @property
    def used_idx(self) -> int:
        """What the used ring's index is now."""
        return int.from_bytes(self._ram.read(self.used_gpa + 2, 2), "little")

    @property
    def avail_idx(self) -> int:
        """What the available ring's index is now."""
        return int.from_bytes(self._ram.read(self.avail_gpa + 2, 2), "little")

    def set_descriptor(self, index: int, gpa: int, length: int, flags: int = 0, next_index: int = 0) -> None:
        """Writes one entry of the descriptor table."""
        lib.fake_queue_set_descriptor(self._c, index, gpa, length, flags, next_index)

    def fill(self, length: int, *, writable: bool = True) -> None:
        """Makes every descriptor a buffer of its own."""
        lib.fake_queue_fill(self._c, self.buffers_gpa, length, writable)

    def put(self, head: int) -> None:
        """Puts a chain into the available ring; offer() shows the device all that was put."""
        lib.fake_queue_offer(self._c, head)

    def offer(self, *heads: int) -> None:
        """Makes chains available, and kicks if the device wants it."""
        for head in heads:
            lib.fake_queue_offer(self._c, head)
        lib.fake_queue_publish(self._c)
        self.kick()

    def kick(self) -> None:
        """Kicks if the device wants it."""
        result = lib.fake_queue_kick(self._c)
        if result < 0:
            raise OSError(-result, f"the kick: {os.strerror(-result)}")

    def take(self) -> tuple[int, int] | None:
        """A completed chain's head and the bytes written, or None.

        Raises:
            DriverError: It wasn't with the device.
        """
        written = ffi.new("uint32_t *")
        head = lib.fake_queue_take(self._c, written)
        if head >= 0:
            return head, int(written[0])
        if head != -errno.EAGAIN:
            raise DriverError("the device completed a chain that it didn't have")
        return None

    def wait(self, timeout_s: float) -> tuple[int, int]:
        """The next completed chain's head and the bytes written.

        Raises:
            TimeoutError: There was no call in time.
            DriverError: It wasn't with the device.
        """
        while (taken := self.take()) is None:
            result = lib.fake_queue_wait(self._c, int(timeout_s * 1000))
            if result < 0:
                raise TimeoutError(f"no call within {timeout_s:g} s ({os.strerror(-result)})")
        return taken

    def ask_for_call(self) -> bool:
        """Asks for a call at the next completion; whether there is one already, and no call may come."""
        return bool(lib.fake_queue_ask_for_call(self._c))

    def wait_for_call_or(self, fd: int, timeout_s: float) -> None:
        """Waits until something is completed, or fd is readable.

        Raises:
            TimeoutError: Neither came in time.
        """
        if self.ask_for_call():
            return
        poll = select.poll()
        poll.register(self._eventfds[1], select.POLLIN)
        poll.register(fd, select.POLLIN)
        ready = dict(poll.poll(timeout_s * 1000))
        if not ready:
            raise TimeoutError(f"no call within {timeout_s:g} s")
        if self._eventfds[1] in ready:
            os.eventfd_read(self._eventfds[1])

    def wait_for_call(self, timeout_s: float) -> bool:
        """Waits for the call eventfd alone, without a look at the rings; returns whether it came."""
        poll = select.poll()
        poll.register(self._eventfds[1], select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def pretend_completed(self, head: int, written: int) -> None:
        """Writes a used entry as a device does, for a device that has died in the middle or does wrong."""
        idx = self.used_idx
        self._ram.write(self.used_gpa + 4 + 8 * (idx % self.num), struct.pack("<II", head, written))
        self._ram.write(self.used_gpa + 2, struct.pack("<H", (idx + 1) % 65536))

    def run(self, requests: int, depth: int, timeout_s: float) -> int:
        """Completes requests of one descriptor each, `depth` at a time; returns the bytes written.

        Raises:
            TimeoutError: The device was silent for timeout_s.
            DriverError: A chain came back that the device didn't have.
        """
        result = int(lib.fake_queue_run(self._c, requests, depth, int(timeout_s * 1000)))
        if result >= 0:
            return result
        if result == -errno.EPROTO:
            raise DriverError("the device completed a chain that it didn't have")
        raise TimeoutError(f"{requests} requests aren't done: {os.strerror(-result)}")

    def mark(self) -> None:
        """Has run() note when it takes the next entry beyond those in the used ring now; for any thread."""
        self._c.marked_idx = self.used_idx
        self._c.is_marked = 1

    @property
    def passed_ns(self) -> int | None:
        """When that was, by the monotonic clock; None before."""
        return None if self._c.is_marked else int(self._c.passed_ns)

    def doorbells(self, count: int) -> list[int]:
        """The time of so many requests, one after the other, from kick to call, in ns.

        Raises:
            OSError: It doesn't work.
        """
        samples = ffi.new("uint64_t[]", count)
        result = lib.fake_queue_doorbell(self._c, samples, count)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return list(samples)
