"""virtio-blk in its jail, driven by the fake driver through real rings: requests of each type."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.device.virtio_blk.conftest import IMAGE_BYTES, StartDisk
from tests.device.virtio_blk.engine import engine_here
from tools.fake_driver.disk_driver import (
    DISCARD,
    FLUSH,
    GET_ID,
    HANGS_AFTER_S,
    IN,
    IOERR,
    OK,
    OUT,
    SECTOR,
    UNMAP,
    UNSUPP,
    WRITE_ZEROES,
    ranges,
)
from tools.fake_driver.driver_queue import DESC_F_NEXT, DESC_F_WRITE

# virtio 1.2, 5.2.3
RO, MQ, DISCARD_BIT, ZEROES_BIT = 1 << 5, 1 << 12, 1 << 13, 1 << 14
WRITABLE = 1 << 2 | 1 << 6 | 1 << 9 | 1 << 10 | DISCARD_BIT | ZEROES_BIT
FEATURE_BITS = (1 << 24) - 1
SECTORS = IMAGE_BYTES // SECTOR


def test_reads_are_the_images_sectors(start_disk: StartDisk, image: Path) -> None:
    disk = start_disk()
    driver = disk.run()
    content = image.read_bytes()
    for sector, count in [(0, 1), (7, 3), (SECTORS - 128, 128), (1000, 64)]:
        assert driver.read(sector, count) == content[sector * SECTOR : (sector + count) * SECTOR]


def test_writes_are_in_the_image(start_disk: StartDisk, image: Path) -> None:
    disk = start_disk()
    driver = disk.run()
    expected = bytearray(image.read_bytes())
    for sector, count in [(0, 1), (9, 5), (SECTORS - 128, 128)]:
        data = os.urandom(count * SECTOR)
        driver.write(sector, data)
        expected[sector * SECTOR : sector * SECTOR + len(data)] = data
        assert driver.read(sector, count) == data
    assert driver.do(FLUSH).status == OK
    assert image.read_bytes() == bytes(expected)
    metrics = disk.metrics()
    assert (metrics["writes"], metrics["reads"], metrics["flushes"]) == (3, 3, 1)
    assert (metrics["written_bytes"], metrics["read_bytes"]) == (134 * SECTOR, 134 * SECTOR)
    assert metrics["engine"] == engine_here()


def test_a_disk_without_io_uring_says_so(start_disk: StartDisk) -> None:
    disk = start_disk()
    expected = [] if engine_here() == "io_uring" else ["no io_uring here"]
    assert [text.partition(" (")[0] for text in disk.logged] == expected


def test_the_config_space(start_disk: StartDisk) -> None:
    disk = start_disk(queues=3, serial=b"s")
    config = disk.config_space
    assert len(config) == 60
    fields = struct.unpack("<QIIIIBBHIBBHIIIIIB3x", config)
    assert fields == (SECTORS, 0, 254, 0, 512, 3, 0, 8, 0, 0, 0, 3, 1 << 22, 32, 8, 1 << 22, 32, 1)
    assert disk.features & FEATURE_BITS == WRITABLE | MQ


def test_what_a_read_only_disk_offers(start_disk: StartDisk) -> None:
    disk = start_disk(readonly=True)
    assert disk.features & FEATURE_BITS == WRITABLE & ~(DISCARD_BIT | ZEROES_BIT) | RO
    assert struct.unpack_from("<IIIIIB", disk.config_space, 36) == (0, 0, 8, 0, 0, 0)


@pytest.mark.parametrize("serial", [b"", b"short", b"exactly-20-bytes-now"])
def test_the_serial_number(start_disk: StartDisk, serial: bytes) -> None:
    driver = start_disk(serial=serial).run()
    padded = serial.ljust(20, b"\0")
    for room in (20, 7):
        answer = driver.do(GET_ID, room=room)
        assert (answer.status, answer.written, answer.data) == (OK, room + 1, padded[:room])
    answer = driver.do(GET_ID, room=25)
    assert (answer.status, answer.written) == (OK, 20)  # the status is behind what isn't written


def test_discarded_and_zeroed_sectors_read_as_zeroes(start_disk: StartDisk, image: Path) -> None:
    disk = start_disk()
    driver = disk.run()
    before = image.read_bytes()
    allocated = image.stat().st_blocks
    assert driver.do(DISCARD, out=ranges((0, 2048, 0), (4096, 1024, 0))).status == OK
    assert driver.do(WRITE_ZEROES, out=ranges((2048, 5, 0), (2054, 1, UNMAP))).status == OK
    assert driver.do(FLUSH).status == OK
    expected = bytearray(before)
    for sector, count in ((0, 2048), (4096, 1024), (2048, 5), (2054, 1)):
        expected[sector * SECTOR : (sector + count) * SECTOR] = bytes(count * SECTOR)
    assert image.read_bytes() == bytes(expected)
    assert image.stat().st_size == IMAGE_BYTES
    assert image.stat().st_blocks <= allocated - 3072  # the host has them back
    metrics = disk.metrics()
    assert (metrics["discarded_bytes"], metrics["zeroed_bytes"]) == (3072 * SECTOR, 6 * SECTOR)


REFUSED = {
    "read beyond the end": (IN, SECTORS, b"", 512, IOERR),
    "read across the end": (IN, SECTORS - 1, b"", 1024, IOERR),
    "read at the last sector number": (IN, (1 << 64) - 1, b"", 512, IOERR),
    "read of half a sector": (IN, 0, b"", 256, IOERR),
    "write beyond the end": (OUT, SECTORS, bytes(512), 0, IOERR),
    "write across the end": (OUT, SECTORS - 1, bytes(1024), 0, IOERR),
    "write of a sector and a byte": (OUT, 0, bytes(513), 0, IOERR),
    "discard beyond the end": (DISCARD, 0, ranges((SECTORS, 1, 0)), 0, IOERR),
    "discard at the last sector number": (DISCARD, 0, ranges(((1 << 64) - 1, 2, 0)), 0, IOERR),
    "discard of more than there may be": (DISCARD, 0, ranges((0, (1 << 22) + 1, 0)), 0, IOERR),
    "discard of a good range and a bad one": (DISCARD, 0, ranges((0, 8, 0), (SECTORS, 1, 0)), 0, IOERR),
    "discard of too many ranges": (DISCARD, 0, ranges(*[(0, 1, 0)] * 33), 0, IOERR),
    "discard of half a range": (DISCARD, 0, ranges((0, 1, 0))[:8], 0, IOERR),
    "discard with the flag for zeroes": (DISCARD, 0, ranges((0, 1, UNMAP)), 0, UNSUPP),
    "zeroes beyond the end": (WRITE_ZEROES, 0, ranges((SECTORS, 1, 0)), 0, IOERR),
    "zeroes with an unknown flag": (WRITE_ZEROES, 0, ranges((0, 1, 2)), 0, UNSUPP),
    "an unknown type": (99, 0, bytes(512), 0, UNSUPP),
    "SCSI, as of old": (2, 0, b"", 512, UNSUPP),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(start_disk: StartDisk, image: Path, name: str) -> None:
    kind, sector, out, room, status = REFUSED[name]
    disk = start_disk()
    driver = disk.run()
    before = image.read_bytes()
    answer = driver.do(kind, sector, out, room=room)
    # Of a buffer before the status nothing is said to be written.
    assert (answer.status, answer.written) == (status, 0 if room else 1)
    assert driver.do(FLUSH).status == OK
    assert image.read_bytes() == before
    assert disk.metrics()["refused"] == 1
    assert driver.read(0) == before[:SECTOR]


@pytest.mark.parametrize("kind", [OUT, DISCARD, WRITE_ZEROES])
def test_a_read_only_disk_is_not_written(start_disk: StartDisk, image: Path, kind: int) -> None:
    """Whether the driver knows that it is one or not."""
    disk = start_disk(readonly=True)
    driver = disk.run()
    before = image.read_bytes()
    assert driver.read(5) == before[5 * SECTOR : 6 * SECTOR]
    out = bytes(SECTOR) if kind == OUT else ranges((0, 8, 0))
    assert driver.do(kind, 0, out).status == IOERR
    assert driver.do(FLUSH).status == OK
    assert image.read_bytes() == before


def test_layouts_are_the_drivers_to_choose(start_disk: StartDisk, image: Path) -> None:
    """ "no assumptions about the location of descriptors" (2.7.4): header, data and status in any pieces."""
    driver = start_disk().run()
    queue, ram, content = driver.queue, driver.ram, image.read_bytes()
    base = queue.buffers_gpa
    ram.write(base, struct.pack("<IIQ", IN, 0, 4))
    # The header in three pieces; data in odd ones; the status behind the last data byte, in one buffer.
    pieces = [(base, 3, 0), (base + 3, 0, 0), (base + 3, 10, 0), (base + 13, 3, 0)]
    pieces += [
        (base + 4096, 100, DESC_F_WRITE),
        (base + 8192, 0, DESC_F_WRITE),
        (base + 8192, 925, DESC_F_WRITE),
    ]
    for index, (gpa, length, flags) in enumerate(pieces):
        following = DESC_F_NEXT if index + 1 < len(pieces) else 0
        queue.set_descriptor(index, gpa, length, flags | following, index + 1)
    queue.offer(0)
    assert queue.wait(HANGS_AFTER_S) == (0, 1025)
    assert ram.read(base + 4096, 100) + ram.read(base + 8192, 925) == content[2048:3072] + bytes([OK])


@pytest.mark.parametrize(
    ("readable", "writable", "said"),
    [
        (15, 1, "without the header that says what is asked for"),
        (0, 1, "without the header that says what is asked for"),
        (16, 0, "without room for what the device has to write"),
    ],
)
def test_a_chain_that_is_no_request(start_disk: StartDisk, readable: int, writable: int, said: str) -> None:
    """It can't be answered, so the device needs a reset; what is in flight beside it is no longer touched."""
    disk = start_disk()
    driver = disk.run()
    content = driver.read(0)
    driver.offer(1, IN, 0, room=65536)
    driver.queue.set_descriptor(200, driver.queue.buffers_gpa, readable, DESC_F_NEXT, 201)
    driver.queue.set_descriptor(201, driver.queue.buffers_gpa, writable, DESC_F_WRITE)
    if readable == 0:
        driver.queue.set_descriptor(200, driver.queue.buffers_gpa, writable, DESC_F_WRITE)
    driver.queue.offer(200)
    assert said in disk.expect("NEEDS_RESET")["reason"]
    disk.request("RESET_DEVICE", "RESET_DONE")
    driver.queue.reset()
    assert disk.run().read(0) == content


def test_a_queue_full_of_requests(start_disk: StartDisk, image: Path) -> None:
    driver = start_disk(data_bytes=4096).run()
    content = image.read_bytes()
    for _ in range(20):
        for slot in range(driver.slots):
            driver.offer(slot, IN, 8 * slot, room=4096)
        driver.publish()
        ended = set()
        for _ in range(driver.slots):
            slot, answer = driver.wait()
            assert (answer.status, answer.data) == (OK, content[4096 * slot : 4096 * (slot + 1)])
            ended.add(slot)
        assert ended == set(range(driver.slots))


def test_queues_of_their_own(start_disk: StartDisk, image: Path) -> None:
    disk = start_disk(queues=4, data_bytes=4096)
    disk.run()
    content = image.read_bytes()
    for driver in disk.drivers:
        for slot in range(driver.slots):
            driver.offer(slot, IN, 8 * slot, room=4096)
        driver.publish()
    for driver in disk.drivers:
        for _ in range(driver.slots):
            slot, answer = driver.wait()
            assert (answer.status, answer.data) == (OK, content[4096 * slot : 4096 * (slot + 1)])
    threads = {(task / "comm").read_text().strip() for task in Path(f"/proc/{disk.pid}/task").iterdir()}
    assert threads >= {"worker0", "worker1", "worker2", "worker3"}


def test_a_stop_waits_for_what_is_begun(start_disk: StartDisk) -> None:
    disk = start_disk(data_bytes=4096)
    driver = disk.run()
    for round_number in range(1, 6):
        for slot in range(driver.slots):
            driver.offer(slot, IN, 8 * slot, room=4096)
        driver.publish()
        (base,) = disk.request("QUIESCE", "QUIESCED")["bases"]
        assert base == driver.queue.used_idx
        disk.send("SET_VRING_ENABLE", index=0, enable=True)
        for _ in range(driver.slots):
            assert driver.wait()[1].status == OK
        assert driver.queue.used_idx == round_number * driver.slots


def test_no_python_runs_for_requests(start_disk: StartDisk) -> None:
    disk = start_disk()
    driver = disk.run()
    driver.read(0)
    calls = disk.black_box.page.python_calls
    for sector in range(200):
        driver.write(sector, driver.read(sector + 1))
    assert disk.black_box.page.python_calls == calls
