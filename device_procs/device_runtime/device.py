"""What the control thread needs of a device: the base class of every kind's back end."""

from __future__ import annotations

from device_procs.data_plane._data_plane import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What the data plane can do for any device (virtio 1.2 §6).
RING_FEATURES = (
    (1 << lib.VIRTIO_F_VERSION_1) | (1 << lib.VIRTIO_F_INDIRECT_DESC) | (1 << lib.VIRTIO_F_EVENT_IDX)
)


class Device:
    """One device, made by its module's make_device(config, backends).

    Attributes:
        features: Offered to the driver.
        config_space: What the driver reads there; b"" if the device has none.
        queue_sets: The indexes of the queues that each worker thread serves.
    """

    __slots__ = ("config_space", "features", "queue_sets")

    def __init__(
        self, *, features: int, config_space: bytes, queue_sets: tuple[tuple[int, ...], ...]
    ) -> None:
        self.features = features
        self.config_space = config_space
        self.queue_sets = queue_sets

    def succeed(self) -> None:
        """Hears that it is the successor of a process that was ready, before anything else is asked of it."""

    def operations(self, queue_set: int) -> tuple[Any, Any]:
        """C's side of a queue set: a struct device_ops *, and the pointer that its functions are given.

        Both must live as long as the device does.
        """
        raise NotImplementedError

    def set_features(self, features: int) -> None:
        """Hears which of the offered features the driver has accepted, before a queue runs."""

    def set_config(self, offset: int, data: bytes) -> None:
        """Hears what the driver wrote to config space, which main has checked.

        Raises:
            ValueError: The driver can't write there: it is main's mistake.
        """
        raise ValueError(f"{len(data)} bytes at {offset} of a config space that can't be written")

    def reset(self) -> None:
        """Forgets everything about the driver; no queue runs."""

    def count_in(self, counters: Any) -> None:
        """Hears where main reads what its module's `counters` name: a uint64_t *, all of them for each queue.

        Before a queue runs; all are 0.
        """

    def take_reports(self) -> list[tuple[str, str]]:
        """What people should read in the log: level ("info", "warning", "error") and text; each once.

        Asked before READY, and when a worker says that there is something.
        """
        return []

    def metrics(self) -> dict[str, Any]:
        """What it has counted, as its module's metrics schema says."""
        return {}
