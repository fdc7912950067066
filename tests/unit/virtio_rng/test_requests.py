"""Requests for random bytes, step by step: filled as far as the source has some and the rate allows."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

import pytest

from device_procs.data_plane._data_plane import lib
from tests.unit.virtio_rng.rng_rig import AGAIN, BLOCKED, IDLE, QUEUE_SIZE, RngRig
from tools.fake_driver.driver_queue import DESC_F_NEXT, DESC_F_WRITE

MakeRig = Callable[..., RngRig]


@pytest.fixture
def make_rig() -> Iterator[MakeRig]:
    made: list[RngRig] = []

    def make(source_fd: int, max_bytes: int = 0, period_ms: int = 0) -> RngRig:
        made.append(RngRig(source_fd, max_bytes, period_ms))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


@pytest.fixture(params=["blocking", "non-blocking"])
def pipe(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """A source that has what the test writes, and its writing end."""
    reader, writer = os.pipe()
    os.set_blocking(reader, request.param == "blocking")
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def urandom() -> Iterator[int]:
    fd = os.open("/dev/urandom", os.O_RDONLY)
    yield fd
    os.close(fd)


def test_the_guest_gets_the_sources_bytes(make_rig: MakeRig, pipe: tuple[int, int]) -> None:
    rig = make_rig(pipe[0])
    rig.driver.fill(64)
    secret = os.urandom(64)
    os.write(pipe[1], secret)
    rig.driver.offer(3)
    assert rig.process() == IDLE
    assert rig.driver.take() == (3, 64)
    assert rig.content(3 * 64, 64) == secret
    assert rig.device.metrics() == {"requests": 1, "bytes": 64, "rate_waits": 0, "source_waits": 0}


def test_a_short_read_is_a_short_answer(make_rig: MakeRig, pipe: tuple[int, int]) -> None:
    rig = make_rig(pipe[0])
    rig.driver.fill(64)
    os.write(pipe[1], b"abc")
    rig.driver.offer(0, 1)
    assert rig.process() == BLOCKED
    assert rig.driver.take() == (0, 3)
    assert rig.content(0, 64) == b"abc" + bytes(61)
    assert rig.driver.take() is None
    assert rig.wakeup.fd == pipe[0]
    os.write(pipe[1], b"d")
    assert rig.process() == IDLE
    assert rig.driver.take() == (1, 1)
    assert rig.device.metrics()["source_waits"] == 1


def test_a_chain_of_several_buffers(make_rig: MakeRig, pipe: tuple[int, int]) -> None:
    rig = make_rig(pipe[0])
    base = rig.driver.buffers_gpa
    rig.driver.set_descriptor(0, base, 4, DESC_F_WRITE | DESC_F_NEXT, 5)
    rig.driver.set_descriptor(5, base + 100, 0, DESC_F_WRITE | DESC_F_NEXT, 2)
    rig.driver.set_descriptor(2, base + 200, 8, DESC_F_WRITE)
    os.write(pipe[1], b"0123456789")
    rig.driver.offer(0)
    assert rig.process() == IDLE
    assert rig.driver.take() == (0, 10)
    assert (rig.content(0, 5), rig.content(200, 8)) == (b"0123\0", b"456789\0\0")


def test_a_full_first_buffer_is_not_held_back_by_the_second(make_rig: MakeRig, pipe: tuple[int, int]) -> None:
    rig = make_rig(pipe[0])
    base = rig.driver.buffers_gpa
    rig.driver.set_descriptor(0, base, 4, DESC_F_WRITE | DESC_F_NEXT, 1)
    rig.driver.set_descriptor(1, base + 100, 4, DESC_F_WRITE)
    os.write(pipe[1], b"0123")
    rig.driver.offer(0)
    assert rig.process() == IDLE
    assert rig.driver.take() == (0, 4)


def test_a_large_request_is_cut(make_rig: MakeRig, urandom: int) -> None:
    rig = make_rig(urandom)
    rig.driver.set_descriptor(0, rig.driver.buffers_gpa, 200_000, DESC_F_WRITE)
    rig.driver.offer(0)
    assert rig.process() == IDLE
    assert rig.driver.take() == (0, 65536)
    assert rig.content(65536, 100) == bytes(100)


def test_a_turn_is_one_ring_long(make_rig: MakeRig, urandom: int) -> None:
    rig = make_rig(urandom)
    rig.driver.fill(16)
    rig.driver.offer(*range(QUEUE_SIZE))
    assert rig.process() == AGAIN
    assert rig.process() == IDLE
    assert rig.device.metrics()["requests"] == QUEUE_SIZE


def test_a_stop_gives_the_held_request_back(make_rig: MakeRig, pipe: tuple[int, int]) -> None:
    rig = make_rig(pipe[0])
    rig.driver.fill(16)
    rig.driver.offer(7)
    assert rig.process() == BLOCKED
    assert lib.virtqueue_in_flight(rig.queue) == 1
    assert rig.stop() == IDLE
    assert lib.virtqueue_in_flight(rig.queue) == 0
    assert rig.queue.next_avail == rig.driver.used_idx == 0
    os.write(pipe[1], b"x" * 16)
    assert rig.process() == IDLE
    assert rig.driver.take() == (7, 16)


def test_a_rate_delays_what_is_over_it(make_rig: MakeRig, urandom: int) -> None:
    rig = make_rig(urandom, max_bytes=100, period_ms=3_600_000)
    rig.driver.fill(64)
    rig.driver.offer(0, 1)
    before = lib.monotonic_ns()
    assert rig.process() == BLOCKED
    assert rig.driver.take() == (0, 64)
    assert rig.driver.take() is None
    # 28 of the 64 bytes are missing: 28 % of an hour.
    assert rig.wakeup.fd == -1
    assert rig.wakeup.deadline_ns - before == pytest.approx(0.28 * 3600e9, rel=0.01)
    assert rig.device.metrics()["rate_waits"] == 1


def test_a_request_larger_than_the_bucket_gets_a_bucketful(make_rig: MakeRig, urandom: int) -> None:
    rig = make_rig(urandom, max_bytes=100, period_ms=1000)
    rig.driver.fill(4096)
    rig.driver.offer(0)
    assert rig.process() == IDLE
    assert rig.driver.take() == (0, 100)


def test_waiting_for_the_source_fills_no_more_than_one_bucket(
    make_rig: MakeRig, pipe: tuple[int, int]
) -> None:
    rig = make_rig(pipe[0], max_bytes=100, period_ms=1)
    rig.driver.fill(100)
    rig.driver.offer(0)
    begun = lib.monotonic_ns()
    while lib.monotonic_ns() < begun + 20_000_000:  # 20 periods
        assert rig.process() == BLOCKED
    _, state = rig.device.operations(0)
    assert state.bucket.level_bytes <= 100


@pytest.mark.parametrize(
    ("length", "flags", "error"),
    [(16, 0, lib.VIRTQ_WRONG_DIRECTION), (0, DESC_F_WRITE, lib.VIRTQ_NO_ROOM)],
    ids=["readable", "empty"],
)
def test_a_request_that_cannot_be_filled(
    make_rig: MakeRig, urandom: int, length: int, flags: int, error: int
) -> None:
    rig = make_rig(urandom)
    rig.driver.fill(16)
    rig.driver.set_descriptor(1, rig.driver.buffers_gpa, length, flags)
    rig.driver.offer(0, 1, 2)
    assert rig.process() == error
    assert rig.driver.take() == (0, 16)
    assert rig.driver.take() is None
    rig.device.reset()
    assert rig.process() == IDLE  # the next request; the bad one is forgotten
    assert rig.driver.take() == (2, 16)


def test_the_end_of_the_source_is_a_fault_of_the_host(make_rig: MakeRig) -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    rig = make_rig(fd)
    rig.driver.fill(16)
    rig.driver.offer(0)
    assert rig.process() == -errno.ENODATA
    os.close(fd)


def test_an_error_of_the_source_is_a_fault_of_the_host(make_rig: MakeRig) -> None:
    control, terminal = os.openpty()
    os.close(terminal)  # reading the other end is EIO from now on
    rig = make_rig(control)
    rig.driver.fill(16)
    rig.driver.offer(0)
    assert rig.process() == -errno.EIO
    os.close(control)
