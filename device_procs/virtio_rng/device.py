"""The entropy device: no config space, no feature bits of its own, one queue, all work in rng.c."""

from __future__ import annotations

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_runtime.device import RING_FEATURES, Device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RngDevice(Device):
    """One entropy device.

    Attributes:
        source_fd: The character device, open until the process ends.
    """

    __slots__ = ("_rng", "source_fd")

    def __init__(self, source_fd: int, max_bytes: int, period_ms: int) -> None:
        """No more than max_bytes in period_ms on average; no limit if both are 0."""
        super().__init__(features=RING_FEATURES, config_space=b"", queue_sets=((0,),))
        self.source_fd = source_fd
        self._rng = ffi.new("struct rng *")
        lib.rng_init(self._rng, source_fd, max_bytes, period_ms)

    def succeed(self) -> None:
        """The average holds over restarts: a predecessor may have taken all that the bucket held."""
        bucket = ffi.addressof(self._rng, "bucket")
        lib.rng_bucket_take(bucket, bucket.level_bytes)

    def operations(self, queue_set: int) -> tuple[Any, Any]:  # noqa: ARG002 (there is one)
        """The one queue's."""
        return ffi.addressof(lib.rng_ops), self._rng

    def reset(self) -> None:
        """Drops the request that it may hold."""
        lib.rng_forget_request(self._rng)

    def metrics(self) -> dict[str, int]:
        """As the worker has counted them."""
        rng = self._rng
        return {
            "requests": rng.requests,
            "bytes": rng.bytes,
            "rate_waits": rng.rate_waits,
            "source_waits": rng.source_waits,
        }


def make_device(config: dict[str, Any], backends: tuple[int, ...]) -> RngDevice:
    """Makes the device that CONFIGURE describes.

    Args:
        config: As module.py's schema says.
        backends: The character device's descriptor, owned by the device from now on.
    """
    (source_fd,) = backends
    return RngDevice(source_fd, config["max_bytes"], config["period_ms"])
