"""What a taken-over disk process may leave behind: its successor needs a reset, or does what was asked for.

The descriptors in guest memory are reads only, so whatever is made of a log, the image stays what it was.
"""

from __future__ import annotations

import os
import random
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ipc.messages import Message
from tests.device.virtio_blk.disk_rig import DiskRig
from tests.device.zygote.zygote_rig import ZygoteRig
from tools.fake_driver.disk_driver import IN, OK, SECTOR, DiskDriver

pytestmark = pytest.mark.timeout(300)

IMAGE_SECTORS = 2048
HEADER = struct.Struct("<QHHHH")  # features, version, desc_num, last_batch_head, used_idx
ENTRY = struct.Struct("<B5xHQ")  # inflight, next, counter
NUM = 256
IN_FLIGHT = 7


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZygoteRig]:
    rig = ZygoteRig(tmp_path_factory.mktemp("run") / "uids.lock", seccomp=True)
    yield rig
    rig.close()


class Widow:
    """A disk that dies with nothing in flight, and a driver that asks for more while there is none."""

    def __init__(self, zygote: ZygoteRig, image: Path) -> None:
        self.image = image
        image.write_bytes(os.urandom(IMAGE_SECTORS * SECTOR))
        self.content = image.read_bytes()
        self.disk = DiskRig(zygote, image, data_bytes=4096)
        self.driver: DiskDriver = self.disk.run()
        for _ in range(5):
            self.driver.read(3)

    def die(self) -> None:
        os.kill(self.disk.pid, signal.SIGKILL)
        self.disk.wait_for_end()
        for slot in range(IN_FLIGHT):
            self.driver.offer(slot, IN, 8 * slot, room=4096)
        self.driver.publish()

    @property
    def log(self) -> bytearray:
        assert self.disk.inflight is not None
        return bytearray(os.pread(self.disk.inflight.fd, HEADER.size + NUM * ENTRY.size, 0))

    def leave(self, log: bytearray) -> None:
        assert self.disk.inflight is not None
        os.pwrite(self.disk.inflight.fd, log, 0)

    def succeed(self) -> Message | None:
        """The successor's complaint, or None if it has answered all that was asked for."""
        self.disk.take_over()
        answered = self.disk.request_or_complaint("GET_METRICS")
        if answered.name == "NEEDS_RESET":
            return answered
        for _ in range(IN_FLIGHT):
            slot, answer = self.driver.wait()
            assert (answer.status, answer.data) == (OK, self.content[4096 * slot : 4096 * (slot + 1)])
        return None

    def answer_by_hand(self, slot: int) -> None:
        """What the dead process had written for a read before its used entry."""
        base = self.driver.data_gpa(slot)
        self.driver.ram.write(base, self.content[4096 * slot : 4096 * (slot + 1)])
        self.driver.ram.write(self.driver.status_gpa(slot), bytes([OK]))
        self.driver.queue.pretend_completed(3 * slot, 4097)

    def close(self) -> None:
        assert self.image.read_bytes() == self.content
        self.disk.close()


@pytest.fixture
def widow(zygote: ZygoteRig, tmp_path: Path) -> Iterator[Widow]:
    with closing(Widow(zygote, tmp_path / "image")) as made:
        yield made


def header(log: bytearray, **changes: int) -> None:
    names = ("features", "version", "desc_num", "last_batch_head", "used_idx")
    values = dict(zip(names, HEADER.unpack_from(log), strict=True)) | changes
    HEADER.pack_into(log, 0, *(values[name] for name in names))


def entry(log: bytearray, head: int, inflight: int, counter: int, following: int = 0) -> None:
    ENTRY.pack_into(log, HEADER.size + head * ENTRY.size, inflight, following, counter)


def in_flight(log: bytearray, *slots: int, first_counter: int = 100) -> None:
    for place, slot in enumerate(slots):
        entry(log, 3 * slot, 1, first_counter + place)


def same_counter(log: bytearray, *heads: int) -> None:
    for head in heads:
        entry(log, head, 1, 100)


def test_what_was_in_flight_is_done_again(widow: Widow) -> None:
    """Three were taken, not in the ring's order of heads; the rest comes from the ring."""
    widow.die()
    log = widow.log
    in_flight(log, 0, 1, 2)
    widow.leave(log)
    assert widow.succeed() is None
    assert widow.disk.metrics()["replayed"] == 3


def test_a_completion_that_was_not_wholly_written_down(widow: Widow) -> None:
    """used.idx is one further than the log: that chain is done, whatever its entry says."""
    widow.die()
    log = widow.log
    widow.answer_by_hand(0)
    in_flight(log, 0, 1)
    header(log, last_batch_head=0)
    widow.leave(log)
    assert widow.succeed() is None
    assert widow.disk.metrics()["replayed"] == 1


NOT_THIS_QUEUES = "isn't this queue's"
DISAGREE = "don't agree"
NO_ORDER = "aren't in any order"
BAD: dict[str, tuple[Callable[[bytearray], None], str]] = {
    "another version": (lambda log: header(log, version=2), NOT_THIS_QUEUES),
    "unknown features": (lambda log: header(log, features=1), NOT_THIS_QUEUES),
    "another size": (lambda log: header(log, desc_num=128), NOT_THIS_QUEUES),
    "no size": (lambda log: header(log, desc_num=0), NOT_THIS_QUEUES),
    "wiped": (lambda log: log.__setitem__(slice(None), bytes(len(log))), NOT_THIS_QUEUES),
    "used index ahead": (lambda log: header(log, used_idx=6), DISAGREE),
    "used index far behind": (lambda log: header(log, used_idx=3), DISAGREE),
    "last head beyond the table": (lambda log: header(log, used_idx=4, last_batch_head=NUM), DISAGREE),
    "entry that is neither": (lambda log: entry(log, 3, 2, 100), "neither in flight nor not"),
    "two with one counter": (lambda log: same_counter(log, 0, 3), NO_ORDER),
    "no counter": (lambda log: entry(log, 0, 1, 0), NO_ORDER),
    "counter that would wrap": (lambda log: entry(log, 0, 1, (1 << 64) - 1), NO_ORDER),
    "more than were given": (lambda log: in_flight(log, *range(IN_FLIGHT + 1)), "more in flight"),
    "everything": (lambda log: log.__setitem__(slice(None), b"\xff" * len(log)), NOT_THIS_QUEUES),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_true_needs_a_reset(widow: Widow, name: str) -> None:
    spoil, said = BAD[name]
    widow.die()
    log = widow.log
    spoil(log)
    widow.leave(log)
    complaint = widow.succeed()
    assert complaint is not None
    assert said in complaint.fields["reason"]
    assert complaint.fields["reason"].startswith("queue 0: ")
    # The process lives, and a driver that resets it has a disk again.
    widow.disk.next_message()  # the metrics
    widow.disk.request("RESET_DEVICE", "RESET_DONE")
    widow.driver.queue.reset()
    assert widow.disk.run().read(1) == widow.content[SECTOR : 2 * SECTOR]


@pytest.mark.parametrize("idx", [4, 7, 13, 255, 65535])
def test_a_used_index_that_cannot_be(widow: Widow, idx: int) -> None:
    widow.die()
    widow.driver.ram.write(widow.driver.queue.used_gpa + 2, struct.pack("<H", idx))
    complaint = widow.succeed()
    assert complaint is not None


def test_noise_of_any_kind(zygote: ZygoteRig, tmp_path: Path, repetitions: Callable[[int], int]) -> None:
    """Either it is found out, or what is done are the driver's own requests; the image stays as it is."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    found_out = 0
    with closing(Widow(zygote, tmp_path / "image")) as widow:
        for _ in range(repetitions(300)):
            widow.die()
            log = widow.log
            for _ in range(chance.choice((1, 2, 8, 64, 1024))):
                log[chance.randrange(len(log))] = chance.randrange(256)
            widow.leave(log)
            widow.disk.take_over()
            found_out += widow.disk.request_or_complaint("GET_METRICS").name == "NEEDS_RESET"
            widow.disk.request_or_complaint("RESET_DEVICE", until="RESET_DONE")
            widow.driver.queue.reset()
            widow.driver = widow.disk.run()
            assert widow.driver.read(1) == widow.content[SECTOR : 2 * SECTOR]
        assert not widow.disk.reaped
    assert found_out > 0
