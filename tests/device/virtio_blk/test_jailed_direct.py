"""A disk without the host's page cache, whose buffers the driver may place as it likes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tests.device.virtio_blk.conftest import StartDisk
from tools.fake_driver.disk_driver import FLUSH, IN, OK, OUT, SECTOR

DATA_BYTES = 640 << 10  # more than a bounce buffer has


def test_the_description_is_direct(start_disk: StartDisk) -> None:
    """The process has no other than main's, flags and all."""
    for direct in (False, True):
        disk = start_disk(direct=direct, readonly=True)
        flags = fcntl.fcntl(disk.image_fd, fcntl.F_GETFL)
        assert (bool(flags & os.O_DIRECT), bool(flags & os.O_NONBLOCK)) == (direct, False)


@pytest.mark.parametrize("skip", [0, 512, 1, 511, 4095])
@pytest.mark.parametrize("length", [SECTOR, 4096, DATA_BYTES - 4096])
def test_buffers_anywhere(start_disk: StartDisk, image: Path, skip: int, length: int) -> None:
    disk = start_disk(direct=True, data_bytes=DATA_BYTES)
    driver = disk.run()
    expected = bytearray(image.read_bytes())
    alignment = disk.memory_alignment
    data = os.urandom(length)
    answer = driver.do(OUT, 16, data, skip=skip)
    assert (answer.status, answer.written) == (OK, 1)
    assert driver.do(FLUSH).status == OK
    expected[16 * SECTOR : 16 * SECTOR + length] = data
    assert image.read_bytes() == bytes(expected)
    answer = driver.do(IN, 8, room=length, skip=skip)
    assert (answer.status, answer.data) == (OK, bytes(expected[8 * SECTOR : 8 * SECTOR + length]))
    assert disk.metrics()["bounced"] == (0 if skip % alignment == 0 else 2)


def test_misaligned_ones_beside_others(start_disk: StartDisk, image: Path) -> None:
    disk = start_disk(direct=True, data_bytes=8192)
    driver = disk.run()
    content = image.read_bytes()
    for slot in range(driver.slots):
        driver.offer(slot, IN, 8 * slot, room=4096, skip=slot % 3)
    driver.publish()
    for _ in range(driver.slots):
        slot, answer = driver.wait()
        assert (answer.status, answer.data) == (OK, content[4096 * slot : 4096 * (slot + 1)])
    assert disk.metrics()["bounced"] == sum(slot % 3 > 0 for slot in range(driver.slots))
