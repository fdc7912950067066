"""A disk at work: reads, writes, discards and flushes, with a ledger of what each block must hold."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.device.supervised_vm import HANGS_AFTER_S
from tests.device.supervisor.driver_load import DEPTH
from tests.device.supervisor.kinds_at_work import KindAtWork
from tests.device.virtio_blk.disk_load import BLOCK_BYTES, DiskLoad
from tools.fake_driver.disk_driver import DiskDriver

_BLOCKS = 256


class AtWork(KindAtWork):
    """The disk."""

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
