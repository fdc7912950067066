"""What a good process of each kind must do for its driver after a hostile one has gone."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

from tests.device.hostile_device.hostile_vm import BAD, HostileVm
from tests.device.hostile_device.neighbours import BLOCKS, HANGS_AFTER_S
from tests.device.virtio_blk.disk_load import BLOCK_BYTES
from tools.fake_driver.disk_driver import FLUSH, OK, SECTOR, DiskDriver

_WRITTEN = 6
_SECTORS = BLOCK_BYTES // SECTOR


def expect_entropy(vm: HostileVm) -> None:
    """As many bytes as were asked for."""
    queue = vm.drivers[BAD].queues[0]
    queue.fill(64)
    assert queue.run(8, 4, HANGS_AFTER_S) == 8 * 64


def expect_disk(vm: HostileVm) -> None:
    """What is written is read again, and is in the image once it is flushed, whatever was there before."""
    driver = DiskDriver(vm.ram, vm.drivers[BAD].queues[0], data_bytes=BLOCK_BYTES)
    written = {block: os.urandom(BLOCK_BYTES) for block in random.sample(range(BLOCKS), _WRITTEN)}
    for block, content in written.items():
        driver.write(block * _SECTORS, content)
    assert driver.do(FLUSH).status == OK
    with vm.bad_image.open("rb") as image:
        for block, content in written.items():
            assert driver.read(block * _SECTORS, _SECTORS) == content, f"block {block} is read otherwise"
            image.seek(block * BLOCK_BYTES)
            assert image.read(BLOCK_BYTES) == content, f"block {block} isn't in the image"


# By kind; a test holds that there is one for each that is registered.
EXPECT_WORK: dict[str, Callable[[HostileVm], None]] = {
    "virtio-rng": expect_entropy,
    "virtio-blk": expect_disk,
}
