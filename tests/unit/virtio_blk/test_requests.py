"""A disk's requests step by step: what the back end is asked for, and what becomes of what it answers."""

from __future__ import annotations

import errno
import os

import pytest

from tests.unit.virtio_blk.blk_rig import BLOCKED, FLUSH, IDLE, PUNCH, READ, WAIT_FD, WRITE, ZERO
from tests.unit.virtio_blk.conftest import MakeRig
from tools.fake_driver.disk_driver import (
    DISCARD,
    IN,
    IOERR,
    NOT_WRITTEN,
    OK,
    OUT,
    SECTOR,
    UNMAP,
    WRITE_ZEROES,
    ranges,
)
from tools.fake_driver.disk_driver import FLUSH as FLUSH_TYPE


def test_a_read_waits_for_the_back_end_and_the_next_kick(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.begin(IN, 5, room=4096)
    (io,) = rig.backend.begun
    assert (io.operation, io.offset, rig.wakeup.fd) == (READ, 5 * SECTOR, WAIT_FD)
    assert rig.driver.queue.take() is None
    data = os.urandom(4096)
    rig.backend.fill(data)
    rig.backend.end()
    assert rig.process() == IDLE
    assert rig.wakeup.fd == -1
    assert rig.status() == OK
    assert rig.ram.read(rig.driver.data_gpa(0), 4096) == data


def test_a_short_read_goes_on_where_it_ended(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.begin(IN, 0, room=4096)
    data = os.urandom(4096)
    for begin, end in ((0, 1000), (1000, 1001), (1001, 4096)):
        (io,) = rig.backend.begun
        assert io.offset == begin
        rig.backend.fill(data[begin:end])
        rig.backend.end(end - begin)
        submits = rig.backend.submits
        rig.process()
        assert rig.backend.submits > submits
    assert rig.status() == OK
    assert rig.ram.read(rig.driver.data_gpa(0), 4096) == data


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.EINTR])
def test_what_can_be_tried_again_is(make_rig: MakeRig, error: int) -> None:
    rig = make_rig()
    rig.begin(OUT, 0, b"x" * SECTOR)
    rig.backend.end(-error)
    rig.process()
    assert rig.backend.bytes_of() == b"x" * SECTOR
    rig.backend.end()
    rig.process()
    assert rig.status() == OK


def test_what_is_never_possible_ends_all_the_same(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.begin(OUT, 0, b"x" * SECTOR)
    while rig.backend.begun:
        rig.backend.end(-errno.EAGAIN)
        rig.process()
    assert rig.status() == IOERR
    assert rig.queue.failure.error == errno.EAGAIN


@pytest.mark.parametrize(
    ("kind", "out", "room"),
    [
        (IN, b"", 4096),
        (OUT, b"x" * 4096, 0),
        (FLUSH_TYPE, b"", 0),
        (DISCARD, ranges((0, 8, 0)), 0),
        (WRITE_ZEROES, ranges((0, 8, 0)), 0),
    ],
)
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_host_that_fails(make_rig: MakeRig, kind: int, out: bytes, room: int, error: int) -> None:
    rig = make_rig()
    rig.begin(kind, 0, out, room=room)
    rig.backend.end(-error)
    assert rig.process() == IDLE
    assert rig.wakeup.tell_control == 1
    assert rig.status() == IOERR
    counters = rig.queue.counters
    assert (counters.failed, counters.out_of_space) == (1, error == errno.ENOSPC)
    assert (rig.queue.failure.error, rig.queue.failure.type) == (error, kind)
    assert (counters.reads, counters.writes, counters.flushes, counters.discards) == (0, 0, 0, 0)


def test_a_host_that_goes_on_failing_is_told_of_once_in_a_while(make_rig: MakeRig) -> None:
    rig = make_rig()
    told = 0
    for _ in range(50):
        rig.begin(IN, 0, room=SECTOR)
        rig.backend.end(-errno.EIO)
        rig.process()
        told += rig.wakeup.tell_control
        assert rig.status() == IOERR
    assert (told, rig.queue.counters.failed) == (1, 50)


@pytest.mark.parametrize("kind", [IN, OUT])
def test_an_image_that_has_shrunk(make_rig: MakeRig, kind: int) -> None:
    rig = make_rig()
    rig.begin(kind, 0, b"x" * 4096 if kind == OUT else b"", room=4096 if kind == IN else 0)
    rig.backend.end(512)
    rig.process()
    rig.backend.end(0)
    rig.process()
    assert rig.status() == IOERR
    assert rig.queue.failure.error == errno.EIO


def test_without_flush_a_write_is_durable(make_rig: MakeRig) -> None:
    for durable in (False, True):
        rig = make_rig(durable=durable)
        rig.begin(OUT, 0, bytes(SECTOR))
        assert bool(rig.backend.begun[0].durable) == durable
        rig.backend.end()
        rig.process()
        assert rig.status() == OK


@pytest.mark.parametrize(
    ("kind", "flags", "operation"),
    [(DISCARD, 0, PUNCH), (WRITE_ZEROES, UNMAP, PUNCH), (WRITE_ZEROES, 0, ZERO)],
)
@pytest.mark.parametrize("durable", [False, True])
def test_ranges_one_after_the_other(
    make_rig: MakeRig, kind: int, flags: int, operation: int, *, durable: bool
) -> None:
    """Without FLUSH they are durable as well: the last step is one."""
    rig = make_rig(durable=durable)
    rig.begin(kind, 0, ranges((8, 16, flags), (64, 0, flags), (100, 1, flags)))
    for offset, length in ((8, 16), (100, 1)):
        (io,) = rig.backend.begun
        assert (io.operation, io.offset, io.length) == (operation, offset * SECTOR, length * SECTOR)
        rig.backend.end()
        rig.process()
    if durable:
        assert rig.backend.begun[0].operation == FLUSH
        rig.backend.end()
        rig.process()
    assert rig.backend.begun == []
    assert rig.status() == OK


def test_a_file_system_that_cannot_discard(make_rig: MakeRig) -> None:
    """It is a hint only (5.2.6.2)."""
    rig = make_rig()
    rig.begin(DISCARD, 0, ranges((0, 8, 0), (16, 8, 0)))
    for _ in range(2):
        rig.backend.end(-errno.EOPNOTSUPP)
        rig.process()
    assert rig.status() == OK


@pytest.mark.parametrize("flags", [0, UNMAP])
def test_a_file_system_that_cannot_zero_gets_zeroes(make_rig: MakeRig, flags: int) -> None:
    rig = make_rig()
    rig.begin(WRITE_ZEROES, 0, ranges((10, 1000, flags), (2000, 1, flags)))
    written: list[tuple[int, int]] = []
    while rig.backend.begun:
        (io,) = rig.backend.begun
        if io.operation == WRITE:
            data = rig.backend.bytes_of()
            assert data == bytes(len(data))
            written.append((io.offset, len(data)))
            rig.backend.end()
        else:
            rig.backend.end(-errno.EOPNOTSUPP)
        rig.process()
    assert rig.status() == OK
    (first, *more, last) = written
    assert (first[0], last) == (10 * SECTOR, (2000 * SECTOR, SECTOR))
    for (offset, length), (following, _) in zip([first], more, strict=True):
        assert offset + length == following
    assert sum(length for _, length in written) == 1001 * SECTOR


def test_requests_end_in_any_order(make_rig: MakeRig) -> None:
    rig = make_rig()
    for slot in range(5):
        rig.begin(IN, 8 * slot, slot=slot, room=SECTOR)
    for place in (4, 0, 2, 1, 0):
        offset = rig.backend.begun[place].offset
        rig.backend.end(place=place)
        rig.process()
        assert rig.status(offset // SECTOR // 8) == OK


def test_a_stop_takes_nothing_and_waits(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.begin(IN, 0, room=SECTOR)
    rig.driver.offer(1, IN, 8, room=SECTOR)
    rig.driver.publish()
    assert (rig.stop(), rig.wakeup.fd) == (BLOCKED, WAIT_FD)
    rig.backend.end()
    assert rig.stop() == IDLE
    assert rig.status() == OK
    assert rig.virtqueue.next_avail == rig.driver.queue.used_idx == 1


def test_a_failed_queue_is_drained_without_an_answer(make_rig: MakeRig) -> None:
    """What the kernel still reads must be over before the driver has its memory back."""
    rig = make_rig()
    rig.begin(IN, 0, room=SECTOR)
    rig.driver.queue.offer(64)  # beyond the table
    assert rig.process() < 0
    assert (rig.drain(), rig.wakeup.fd) == (BLOCKED, WAIT_FD)
    rig.backend.end()
    assert rig.drain() == IDLE
    assert rig.driver.queue.take() is None
    assert rig.ram.read(rig.driver.status_gpa(0), 1) == bytes([NOT_WRITTEN])


class TestBounce:
    """For O_DIRECT: buffers that aren't aligned go through one that is, one request at a time."""

    def test_aligned_requests_go_straight(self, make_rig: MakeRig) -> None:
        rig = make_rig(memory_alignment=512)
        rig.begin(OUT, 0, b"x" * 4096)
        assert rig.backend.begun[0].segments[0].host == rig.host(rig.driver.data_gpa(0))
        assert rig.queue.counters.bounced == 0

    @pytest.mark.parametrize("skip", [1, 256, 511])
    def test_a_write(self, make_rig: MakeRig, skip: int) -> None:
        rig = make_rig(memory_alignment=512)
        data = os.urandom(8192)
        rig.begin(OUT, 4, data, skip=skip)
        (io,) = rig.backend.begun
        assert int(rig.address(io.segments[0].host)) % 512 == 0
        assert rig.backend.bytes_of() == data
        rig.backend.end(512)
        rig.process()
        assert rig.backend.bytes_of() == data[512:]
        assert rig.backend.begun[0].offset == 4 * SECTOR + 512
        rig.backend.end()
        rig.process()
        assert rig.status() == OK
        assert rig.queue.counters.bounced == 1

    def test_reads_wait_for_each_other(self, make_rig: MakeRig) -> None:
        rig = make_rig(memory_alignment=512)
        data = [os.urandom(4096) for _ in range(3)]
        for slot in range(3):
            rig.driver.offer(slot, IN, 8 * slot, room=4096, skip=100)
        rig.driver.publish()
        rig.process()
        for slot in range(3):
            (io,) = rig.backend.begun
            assert io.offset == 4096 * slot
            rig.backend.fill(data[slot][:1024])
            rig.backend.end(1024)
            rig.process()
            rig.backend.fill(data[slot][1024:])
            rig.backend.end()
            rig.process()
            assert rig.status(slot) == OK
            assert rig.ram.read(rig.driver.data_gpa(slot, 100), 4096) == data[slot]

    def test_one_that_fails_makes_room_for_the_next(self, make_rig: MakeRig) -> None:
        rig = make_rig(memory_alignment=512)
        for slot in range(2):
            rig.driver.offer(slot, IN, 0, room=SECTOR, skip=1)
        rig.driver.publish()
        rig.process()
        rig.backend.end(-errno.EIO)
        rig.process()
        assert rig.status(0) == IOERR
        rig.backend.end()
        rig.process()
        assert rig.status(1) == OK

    def test_half_a_block_is_refused(self, make_rig: MakeRig) -> None:
        rig = make_rig(memory_alignment=512, block_bytes=4096)
        for sector, length in ((0, 512), (1, 4096)):
            rig.begin(OUT, sector, bytes(length))
            assert rig.status() == IOERR
        assert rig.backend.begun == []
