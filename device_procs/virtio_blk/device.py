"""The disk: features, config space, one queue and one ring of io_uring for each worker. Requests are C's."""

from __future__ import annotations

import errno
import posix as os

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_runtime.device import RING_FEATURES, Device
from device_procs.virtio_blk.module import COUNTERS, ID_BYTES, SECTOR_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Why a host may have no io_uring: an old kernel, kernel.io_uring_disabled, or a filter around main.
_NO_IO_URING = (errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOMEM)
_OPERATIONS = {
    lib.VIRTIO_BLK_T_IN: "read",
    lib.VIRTIO_BLK_T_OUT: "write",
    lib.VIRTIO_BLK_T_FLUSH: "flush",
    lib.VIRTIO_BLK_T_DISCARD: "discard",
    lib.VIRTIO_BLK_T_WRITE_ZEROES: "write of zeroes",
}


class BlkDevice(Device):
    """One disk."""

    __slots__ = ("_disk", "_engine", "_queues", "_reports", "_told_failures")

    def __init__(self, config: dict[str, Any], image_fd: int, last_io_fd: int = -1) -> None:
        """Makes queues and back ends.

        Args:
            config: As module.py's schema says.
            image_fd: The image, open as config says; the device's own.
            last_io_fd: What each ring is to hold for as long as it is there; -1 for nothing.

        Raises:
            OSError: There is no memory for them.
        """
        features = RING_FEATURES | _features(config)
        queue_sets = tuple((index,) for index in range(config["queues"]))
        super().__init__(features=features, config_space=config_space(config), queue_sets=queue_sets)
        self._disk = ffi.new("struct blk_disk *")
        self._disk.capacity_sectors = config["capacity_sectors"]
        self._disk.block_bytes = config["block_bytes"]
        self._disk.memory_alignment = config["memory_alignment"]
        self._disk.read_only = config["read_only"]
        self._disk.durable_writes = 1
        ffi.memmove(self._disk.id, config["serial"].ljust(ID_BYTES, b"\0"), ID_BYTES)
        self._reports: list[tuple[str, str]] = []
        self._told_failures = 0
        self._engine = "io_uring"
        self._queues = [self._make_queue(image_fd, last_io_fd) for _ in queue_sets]

    def _make_queue(self, image_fd: int, last_io_fd: int) -> Any:
        queue = ffi.new("struct blk_queue *")
        _check(lib.blk_queue_init(queue, self._disk))
        backend = ffi.addressof(queue, "backend")
        error = -errno.ENOSYS
        if self._engine == "io_uring":
            error = lib.disk_uring_init(backend, image_fd, last_io_fd, lib.BLK_QUEUE_SIZE_MAX)
            if error < 0 and -error not in _NO_IO_URING:
                _check(error)
            if error < 0:
                self._engine = "preadv"
                text = f"no io_uring here ({os.strerror(-error)}): its requests are done one after the other"
                self._reports.append(("warning", text))
        if error < 0:
            _check(lib.disk_sync_init(backend, image_fd))
        return queue

    def operations(self, queue_set: int) -> tuple[Any, Any]:
        """Each queue has a worker of its own."""
        return ffi.addressof(lib.blk_ops), self._queues[queue_set]

    def set_features(self, features: int) -> None:
        """Without FLUSH the driver can't ask for durability, so every write has it (virtio 1.2 §5.2.6.2)."""
        self._disk.durable_writes = not features & (1 << lib.VIRTIO_BLK_F_FLUSH)

    def reset(self) -> None:
        """Nothing is in flight; what a failed queue held is dropped."""
        self._disk.durable_writes = 1
        for queue in self._queues:
            lib.blk_queue_reset(queue)

    def count_in(self, counters: Any) -> None:
        """Before the first request: each queue's, one behind the other."""
        for index, queue in enumerate(self._queues):
            queue.counters = ffi.cast("struct blk_counters *", counters) + index

    def take_reports(self) -> list[tuple[str, str]]:
        """What the host has failed, since it was last asked."""
        reports, self._reports = self._reports, []
        failures = sum(queue.counters.failed for queue in self._queues)
        if failures > self._told_failures:
            latest = self._last_failure()
            what = _OPERATIONS.get(latest.type, "request")
            why, sector = os.strerror(latest.error), latest.sector
            count = failures - self._told_failures
            more = "" if count == 1 else f" (and {count - 1} more)"
            reports.append(("error", f"the host fails a {what} at sector {sector}: {why}{more}"))
            self._told_failures = failures
        return reports

    def metrics(self) -> dict[str, Any]:
        """As the workers have counted them."""
        sums = {name: sum(int(getattr(queue.counters, name)) for queue in self._queues) for name in COUNTERS}
        return {"engine": self._engine, **sums, "last_errno": self._last_failure().error}

    def _last_failure(self) -> Any:
        return max((queue.failure for queue in self._queues), key=lambda failure: failure.at_ns)


def _features(config: dict[str, Any]) -> int:
    bits = [lib.VIRTIO_BLK_F_SEG_MAX, lib.VIRTIO_BLK_F_BLK_SIZE, lib.VIRTIO_BLK_F_TOPOLOGY]
    bits.append(lib.VIRTIO_BLK_F_FLUSH)
    if config["read_only"]:
        bits.append(lib.VIRTIO_BLK_F_RO)
    else:
        bits += [lib.VIRTIO_BLK_F_DISCARD, lib.VIRTIO_BLK_F_WRITE_ZEROES]
    if config["queues"] > 1:
        bits.append(lib.VIRTIO_BLK_F_MQ)
    return sum(1 << bit for bit in bits)


def config_space(config: dict[str, Any]) -> bytes:
    """Struct virtio_blk_config up to write_zeroes_may_unmap (virtio 1.2 §5.2.4)."""

    def field(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little")

    block = config["block_bytes"]
    physical = max(config["physical_block_bytes"], block)
    ranges = 0 if config["read_only"] else lib.BLK_RANGES_MAX
    sectors = 0 if config["read_only"] else lib.BLK_RANGE_SECTORS_MAX
    return b"".join(
        (
            field(config["capacity_sectors"], 8),
            field(0, 4),  # size_max: not offered
            field(lib.BLK_SEGMENTS_MAX, 4),
            field(0, 4),  # geometry: not offered
            field(block, 4),
            field((physical // block).bit_length() - 1, 1),
            field(0, 1),  # alignment_offset
            field(physical // block, 2),  # min_io_size
            field(0, 4),  # opt_io_size: not known
            field(0, 2),  # writeback, which can't be changed, and a byte that is unused
            field(config["queues"], 2),
            field(sectors, 4),
            field(ranges, 4),
            field(physical // SECTOR_BYTES, 4),  # discard_sector_alignment
            field(sectors, 4),
            field(ranges, 4),
            field(int(not config["read_only"]), 1),  # write_zeroes_may_unmap
            field(0, 3),
        )
    )


def _check(error: int) -> None:
    if error < 0:
        raise OSError(-error, os.strerror(-error))


def make_device(config: dict[str, Any], backends: tuple[int, ...]) -> BlkDevice:
    """Makes the device that CONFIGURE describes.

    Args:
        config: As module.py's schema says.
        backends: The image's descriptor and, of a direct one, the socket that main must see hang up only when
            nothing of this process's I/O is under way any more; owned by the device from now on.
    """
    image_fd, *last_io = backends
    return BlkDevice(config, image_fd, last_io[0] if last_io else -1)
