"""A null queue in a process of its own: a device's worker under its filter, with nothing to do."""

from __future__ import annotations

import ctypes
import os
import signal

from device_procs.data_plane._data_plane import ffi, lib
from tools.fake_driver.driver_queue import DriverQueue
from tools.fake_driver.guest_ram import GuestRam

QUEUE_SIZE = 64
FEATURES = (1 << lib.VIRTIO_F_VERSION_1) | (1 << lib.VIRTIO_F_INDIRECT_DESC) | (1 << lib.VIRTIO_F_EVENT_IDX)
RAM_BYTES = 4 << 20
_PROFILE = b"virtio_rng_worker"
_PR_SET_NO_NEW_PRIVS = 38  # <linux/prctl.h>


class NullQueueError(Exception):
    """The worker can't be started."""


def new_queue(ram: GuestRam, kick_fd: int, call_fd: int) -> DriverQueue:
    """The driver's side of the queue; each process has an object of its own for the same rings."""
    return DriverQueue(ram, 0, QUEUE_SIZE, (kick_fd, call_fd), event_idx=True)


def serve(ram: GuestRam, kick_fd: int, call_fd: int) -> None:
    """Runs the device's side of the queue until the process is killed.

    Raises:
        NullQueueError: Something about it fails.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise NullQueueError(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    memory = ffi.new("struct guest_memory *")
    _check("guest memory", lib.guest_memory_map(memory, ram.fd, 0, ram.size, 0, 1))
    black_box = ffi.new("struct black_box *")
    device = ffi.new("struct null_device *")
    profile = ffi.new("char[]", _PROFILE)
    worker = ffi.new("struct worker *")
    lib.worker_init(worker)
    worker.ops = ffi.addressof(lib.null_device_ops)
    worker.device = device
    worker.life = black_box.queues
    worker.profile = profile
    worker.count = 1
    worker.report_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    worker.queues[0].kick_fd = kick_fd
    worker.queues[0].call_fd = call_fd
    queue = new_queue(ram, kick_fd, call_fd)
    addresses = ffi.new("struct virtqueue_addresses *")
    addresses.num = queue.num
    addresses.desc_gpa = queue.desc_gpa
    addresses.avail_gpa = queue.avail_gpa
    addresses.used_gpa = queue.used_gpa
    virtqueue = ffi.addressof(worker.queues[0], "virtqueue")
    started = lib.virtqueue_start(virtqueue, memory, black_box.queues, 0, addresses, FEATURES, 0)
    _check("the queue", started)
    _check("the worker", lib.worker_start(worker))
    lib.worker_want(worker, 0, 1)
    while True:
        signal.pause()


def _check(what: str, error: int) -> None:
    if error < 0:
        raise NullQueueError(f"{what}: {os.strerror(-error)}")
