"""Each registered kind of device in a VM without KVM, with a driver that knows what it must get."""

from __future__ import annotations

import random
from abc import abstractmethod
from pathlib import Path
from typing import Any

from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm
from tests.device.supervisor.driver_load import DEPTH, LENGTH
from tests.device.virtio_blk.disk_load import BLOCK_BYTES, DiskLoad
from tools.fake_driver.disk_driver import DiskDriver

_BLOCKS = 256


class KindAtWork:
    """A VM with one device, and its driver."""

    def __init__(self, directory: Path, **options: Any) -> None:
        """Starts the VM with SupervisedVm's options; the driver has set DRIVER_OK."""
        self.vm = SupervisedVm(directory / "uids.lock", **self._devices(directory), **options)
        self.vm.transports[0].driver_ok(size=256)

    @abstractmethod
    def _devices(self, directory: Path) -> dict[str, Any]:
        """SupervisedVm's options that make the one device."""

    @abstractmethod
    def begin(self) -> None:
        """Offers requests, and kicks."""

    @abstractmethod
    def finish(self) -> None:
        """Waits until each has come back, once and as it should be; a device that needs minutes fails."""


class RngAtWork(KindAtWork):
    """The entropy device."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, **options)
        self._queue = self.vm.transports[0].queues[0]
        self._queue.fill(LENGTH)

    def _devices(self, _directory: Path) -> dict[str, Any]:
        return {"rngs": [{}]}

    def begin(self) -> None:
        self._queue.offer(*range(DEPTH))

    def finish(self) -> None:
        came = sorted(self._queue.wait(HANGS_AFTER_S) for _ in range(DEPTH))
        assert came == [(head, LENGTH) for head in range(DEPTH)]


class DiskAtWork(KindAtWork):
    """The disk, with reads, writes, discards and flushes."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self._image = directory / "image"
        with self._image.open("wb") as file:
            file.truncate(_BLOCKS * BLOCK_BYTES)
        super().__init__(directory, **options)
        driver = DiskDriver(self.vm.ram, self.vm.transports[0].queues[0], BLOCK_BYTES)
        self._load = DiskLoad(driver, range(_BLOCKS), DEPTH, random.randrange(1 << 32))

    def _devices(self, directory: Path) -> dict[str, Any]:
        return {"rngs": [], "drives": ({"file": str(directory / "image")},)}

    def begin(self) -> None:
        self._load.top_up()

    def finish(self) -> None:
        (call_fd,) = self.vm.device().call_fds
        while self._load.in_flight:
            if self._load.take() == 0:
                self._load.queue.wait_for_call_or(call_fd, HANGS_AFTER_S)
        self._load.check_image(self._image)


# By kind; a test holds that there is one for each that is registered.
KINDS_AT_WORK: dict[str, type[KindAtWork]] = {"virtio-rng": RngAtWork, "virtio-blk": DiskAtWork}
