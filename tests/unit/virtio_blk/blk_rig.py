"""A disk's queue called as its worker calls it, in this thread, with a back end that the test plays."""

from __future__ import annotations

import os
from typing import Any

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_runtime.device import RING_FEATURES
from tools.fake_driver.disk_driver import DiskDriver
from tools.fake_driver.driver_queue import DriverQueue
from tools.fake_driver.guest_ram import GuestRam

IDLE, AGAIN, BLOCKED = lib.DEVICE_IDLE, lib.DEVICE_AGAIN, lib.DEVICE_BLOCKED
READ, WRITE, FLUSH, PUNCH, ZERO = (
    lib.DISK_READ,
    lib.DISK_WRITE,
    lib.DISK_FLUSH,
    lib.DISK_PUNCH,
    lib.DISK_ZERO,
)
QUEUE_SIZE = 64
CAPACITY_SECTORS = 1 << 16
WAIT_FD = 1000  # of the back end; nobody waits for it here


class PlayedBackend:
    """Takes I/Os, and ends them when and as the test says."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self._ended: list[Any] = []
        self.submits = 0
        self.ops = ffi.new("struct disk_backend_ops *")
        self._kept = (
            ffi.callback("void(void *, struct disk_io *)", self._begin),
            ffi.callback("int(void *)", self._submit),
            ffi.callback("struct disk_io *(void *)", self._reap),
        )
        self.ops.begin, self.ops.submit, self.ops.reap = self._kept

    def _begin(self, _state: Any, io: Any) -> None:
        self.begun.append(io)

    def _submit(self, _state: Any) -> int:
        self.submits += 1
        return 0

    def _reap(self, _state: Any) -> Any:
        return self._ended.pop(0) if self._ended else ffi.NULL

    def end(self, result: int | None = None, place: int = 0) -> None:
        """Ends one that was begun, with all its bytes unless told otherwise."""
        io = self.begun.pop(place)
        lengths = [io.segments[index].length for index in range(io.segment_count)]
        io.result = result if result is not None else sum(lengths) if io.operation in (READ, WRITE) else 0
        self._ended.append(io)

    def bytes_of(self, place: int = 0) -> bytes:
        """What a write would write."""
        io = self.begun[place]
        segments = [io.segments[index] for index in range(io.segment_count)]
        return b"".join(bytes(ffi.buffer(segment.host, segment.length)) for segment in segments)

    def fill(self, data: bytes, place: int = 0) -> None:
        """What a read has read, so far."""
        io = self.begun[place]
        for index in range(io.segment_count):
            segment = io.segments[index]
            part, data = data[: segment.length], data[segment.length :]
            ffi.memmove(segment.host, part, len(part))


class BlkRig:
    """A queue, its driver and its back end."""

    def __init__(self, *, durable: bool = False, memory_alignment: int = 1, block_bytes: int = 512) -> None:
        self.ram = GuestRam(2 << 20)
        self._eventfds = (os.eventfd(0), os.eventfd(0))
        queue = DriverQueue(self.ram, 0, QUEUE_SIZE, self._eventfds, event_idx=True)
        self.driver = DiskDriver(self.ram, queue, data_bytes=16384)
        self._memory = ffi.new("struct guest_memory *")
        assert lib.guest_memory_map(self._memory, self.ram.fd, 0, self.ram.size, 0, 1) == 0
        self._counters = ffi.new("struct black_box_queue *")
        self.virtqueue: Any = ffi.new("struct virtqueue *")
        addresses = ffi.new("struct virtqueue_addresses *")
        addresses.num = QUEUE_SIZE
        addresses.desc_gpa, addresses.avail_gpa, addresses.used_gpa = (
            queue.desc_gpa,
            queue.avail_gpa,
            queue.used_gpa,
        )
        started = lib.virtqueue_start(
            self.virtqueue, self._memory, self._counters, 0, addresses, RING_FEATURES, 0
        )
        assert started == 0
        self._log = ffi.new("uint8_t[]", lib.INFLIGHT_HEADER_BYTES + QUEUE_SIZE * lib.INFLIGHT_ENTRY_BYTES)
        log = ffi.cast("struct inflight_log *", self._log)
        assert lib.virtqueue_keep_log(self.virtqueue, log, 0) == 0
        self.disk = ffi.new("struct blk_disk *")
        self.disk.capacity_sectors = CAPACITY_SECTORS
        self.disk.block_bytes = block_bytes
        self.disk.memory_alignment = memory_alignment
        self.disk.durable_writes = durable
        self.queue: Any = ffi.new("struct blk_queue *")
        assert lib.blk_queue_init(self.queue, self.disk) == 0
        self.backend = PlayedBackend()
        self.queue.backend.ops = self.backend.ops
        self.queue.backend.wait_fd = WAIT_FD
        self.wakeup: Any = ffi.new("struct wakeup *")

    def _call(self, operation: Any) -> int:
        self.wakeup.fd = -1
        self.wakeup.tell_control = 0
        return int(operation(self.queue, self.virtqueue, self.wakeup))

    def process(self) -> int:
        return self._call(lib.blk_ops.process)

    def stop(self) -> int:
        return self._call(lib.blk_ops.stop)

    def drain(self) -> int:
        return self._call(lib.blk_ops.drain)

    def begin(self, kind: int, sector: int = 0, out: bytes = b"", *, slot: int = 0, **options: int) -> None:
        """Offers a request and has the queue take it."""
        self.driver.offer(slot, kind, sector, out, **options)
        self.driver.publish()
        assert self.process() == IDLE

    def status(self, slot: int = 0) -> int:
        """The status of the next request that has ended, which must be this one."""
        taken = self.driver.queue.take()
        assert taken is not None
        assert taken[0] == 3 * slot
        return self.driver.answer(slot, taken[1]).status

    @staticmethod
    def address(pointer: Any) -> int:
        """Of a C pointer."""
        return int(ffi.cast("uintptr_t", pointer))

    def host(self, gpa: int) -> Any:
        """Where the queue has a guest-physical address mapped."""
        return lib.guest_memory_at(self._memory, gpa, 1, 1)

    def close(self) -> None:
        lib.guest_memory_deinit(self._memory)
        self.ram.close()
        for fd in self._eventfds:
            os.close(fd)
