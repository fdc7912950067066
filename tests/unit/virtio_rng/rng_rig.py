"""rng.c called as its worker calls it, in this thread: every step can be looked at."""

from __future__ import annotations

import os
from typing import Any

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_runtime.device import RING_FEATURES
from device_procs.virtio_rng.device import RngDevice
from tools.fake_driver.driver_queue import DriverQueue
from tools.fake_driver.guest_ram import GuestRam

QUEUE_SIZE = 16
IDLE, AGAIN, BLOCKED = lib.DEVICE_IDLE, lib.DEVICE_AGAIN, lib.DEVICE_BLOCKED


class RngRig:
    """A device, its queue, and the driver of it."""

    def __init__(self, source_fd: int, max_bytes: int = 0, period_ms: int = 0) -> None:
        self.ram = GuestRam(1 << 20)
        self._eventfds = (os.eventfd(0), os.eventfd(0))
        self.driver = DriverQueue(self.ram, 0, QUEUE_SIZE, self._eventfds, event_idx=True)
        self._memory = ffi.new("struct guest_memory *")
        assert lib.guest_memory_map(self._memory, self.ram.fd, 0, self.ram.size, 0, 1) == 0
        self._counters = ffi.new("struct black_box_queue *")
        self.queue: Any = ffi.new("struct virtqueue *")
        addresses = ffi.new("struct virtqueue_addresses *")
        addresses.num = QUEUE_SIZE
        addresses.desc_gpa = self.driver.desc_gpa
        addresses.avail_gpa = self.driver.avail_gpa
        addresses.used_gpa = self.driver.used_gpa
        started = lib.virtqueue_start(
            self.queue, self._memory, self._counters, 0, addresses, RING_FEATURES, 0
        )
        assert started == 0
        self.device = RngDevice(source_fd, max_bytes, period_ms)
        self.wakeup: Any = ffi.new("struct wakeup *")

    def process(self) -> int:
        self._clear_wakeup()
        _, state = self.device.operations(0)
        return int(lib.rng_ops.process(state, self.queue, self.wakeup))

    def stop(self) -> int:
        self._clear_wakeup()
        _, state = self.device.operations(0)
        return int(lib.rng_ops.stop(state, self.queue, self.wakeup))

    def _clear_wakeup(self) -> None:
        self.wakeup.fd = -1
        self.wakeup.deadline_ns = lib.WAKEUP_NEVER_NS

    def content(self, offset: int, length: int) -> bytes:
        """What is in the driver's buffers."""
        return self.ram.read(self.driver.buffers_gpa + offset, length)

    def close(self) -> None:
        lib.guest_memory_deinit(self._memory)
        self.ram.close()
        for fd in self._eventfds:
            os.close(fd)
