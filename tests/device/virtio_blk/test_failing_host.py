"""A host that fails a disk's requests: the guest gets the spec's error, the log a line now and then."""

from __future__ import annotations

import os
from pathlib import Path

from tests.device.virtio_blk.conftest import IMAGE_BYTES, StartDisk
from tools.fake_driver.disk_driver import FLUSH, IN, IOERR, OK, OUT, SECTOR

LAST = IMAGE_BYTES // SECTOR - 8


def test_an_image_that_somebody_has_shortened(start_disk: StartDisk, image: Path) -> None:
    """Reads beyond its end fail, those before it don't."""
    disk = start_disk()
    driver = disk.run()
    os.truncate(image, IMAGE_BYTES // 2)
    for _ in range(20):
        assert driver.do(IN, LAST, room=4096).status == IOERR
    said = disk.expect("LOG")
    assert said["level"] == "error"
    assert said["text"].startswith(f"the host fails a read at sector {LAST}: Input/output error")
    assert driver.do(IN, 0, room=4096).status == OK
    metrics = disk.metrics()  # nothing else was logged before this answer
    assert (metrics["failed"], metrics["reads"]) == (20, 1)


def test_a_file_that_may_not_grow(start_disk: StartDisk, image: Path) -> None:
    """The size of the image is a limit of its process, whose signal kills nobody."""
    disk = start_disk(file_bytes=IMAGE_BYTES // 2)
    driver = disk.run()
    for _ in range(5):
        assert driver.do(OUT, LAST, bytes(4096)).status == IOERR
    assert disk.expect("LOG")["text"].startswith(f"the host fails a write at sector {LAST}: File too large")
    driver.write(0, b"x" * SECTOR)
    assert driver.do(FLUSH).status == OK
    assert image.read_bytes()[:SECTOR] == b"x" * SECTOR
    assert image.stat().st_size == IMAGE_BYTES
