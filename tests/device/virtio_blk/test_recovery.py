"""A disk that dies under load, at any moment and at chosen ones: all that was acknowledged is there, once."""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.device.virtio_blk.disk_load import BLOCK_BYTES, DiskLoad, LostOrDoubledError
from tests.device.virtio_blk.disk_rig import DiskRig
from tests.device.virtio_blk.engine import engine_here
from tests.device.virtio_blk.fault_build import CRASHED_STATUS, CRASHES, POINTS, fault_build_option
from tests.device.virtio_blk.without_io_uring import without_io_uring
from tests.device.zygote.zygote_rig import ZygoteRig
from tools.fake_driver.disk_driver import HANGS_AFTER_S
from tools.fake_driver.driver_queue import DriverError

pytestmark = pytest.mark.timeout(900)

BLOCKS = 1024
DEPTH = 40


@pytest.fixture(scope="module")
def lock_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "uids.lock"


@pytest.fixture(scope="module")
def zygote(lock_file: Path) -> Iterator[ZygoteRig]:
    rig = ZygoteRig(lock_file, seccomp=True)
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def faulty_zygote(lock_file: Path) -> Iterator[ZygoteRig]:
    rig = ZygoteRig(lock_file, seccomp=True, xoptions=(fault_build_option(),))
    yield rig
    rig.close()


@pytest.fixture
def empty_image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(BLOCKS * BLOCK_BYTES)
    return path


class Trial:
    """A disk under load that dies again and again; each queue has a part of the image."""

    def __init__(self, zygote: ZygoteRig, image: Path, *, direct: bool = False, queues: int = 1) -> None:
        self.image = image
        self.disk = DiskRig(zygote, image, direct=direct, queues=queues, data_bytes=BLOCK_BYTES)
        self.disk.run()
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        part = BLOCKS // queues
        self.loads = [
            DiskLoad(driver, range(part * number, part * (number + 1)), DEPTH, seed + number)
            for number, driver in enumerate(self.disk.drivers)
        ]
        self.deaths = self.hits = 0

    @property
    def has_ended(self) -> bool:
        return bool(select.select([self.disk.pidfd], [], [], 0)[0])

    @property
    def acknowledged(self) -> int:
        return sum(load.acknowledged for load in self.loads)

    @property
    def overtaken(self) -> int:
        return sum(load.overtaken for load in self.loads)

    def top_up(self) -> None:
        for load in self.loads:
            load.top_up()

    def take(self) -> None:
        """Takes what has ended, or waits until something has, or the process."""
        if sum(load.take() for load in self.loads) or any(load.queue.ask_for_call() for load in self.loads):
            return
        ready, _, _ = select.select([self.disk.pidfd, *self.disk.call_fds], [], [], HANGS_AFTER_S)
        assert ready, "the disk makes no progress"
        for fd in ready:
            if fd != self.disk.pidfd:
                os.eventfd_read(fd)

    def drive(self, count: int) -> None:
        """Until so many requests more have ended, or the process has."""
        wanted = self.acknowledged + count
        while self.acknowledged < wanted and not self.has_ended:
            self.top_up()
            self.take()

    def bury(self) -> int:
        """Waits for the end, and has a successor take over; returns how it ended."""
        status = self.disk.wait_for_end()
        self.deaths += 1
        self.hits += any(queue.avail_idx != queue.used_idx for queue in self.disk.queues)
        self.disk.take_over()
        return status

    def finish(self) -> None:
        """Waits for what is in flight, and compares the image."""
        while any(load.in_flight for load in self.loads):
            self.take()
            assert not self.has_ended
        for load in self.loads:
            assert (load.queue.used_idx, load.queue.take()) == (load.queue.avail_idx, None)
            load.check_image(self.image)
        print(
            f"{self.deaths} deaths, {self.hits} with requests in flight; {self.acknowledged} requests, "
            f"{self.overtaken} ended after a later one"
        )

    def close(self) -> None:
        self.disk.close()


@pytest.mark.parametrize(
    "options", [{}, {"direct": True}, {"queues": 4}, {"direct": True, "queues": 2}], ids=str
)
def test_killed_at_random(
    zygote: ZygoteRig, empty_image: Path, repetitions: Callable[[int], int], options: dict[str, Any]
) -> None:
    kills = repetitions(250)
    with closing(Trial(zygote, empty_image, **options)) as trial:
        for _ in range(kills):
            trial.drive(random.randrange(1, 200))
            trial.top_up()
            until = time.monotonic() + random.random() / 2000
            while time.monotonic() < until:  # its workers work meanwhile
                pass
            os.kill(trial.disk.pid, signal.SIGKILL)
            assert trial.bury() == -signal.SIGKILL
        trial.drive(1000)
        trial.finish()
        assert trial.hits > 0
        # Without io_uring a queue's requests are done one after the other.
        assert (trial.overtaken > 0) == (engine_here() == "io_uring")


def test_killed_at_random_without_io_uring(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """Every kind of disk once more, where the worker itself reads and writes."""
    full = ("--full",) if pytestconfig.getoption("--full") else ()
    ran = without_io_uring(
        *(sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *full),
        *(f"--basetemp={tmp_path / 'inner'}", f"{__file__}::{test_killed_at_random.__name__}"),
    )
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert ran.stdout.count(", 0 ended after a later one") == 4


@pytest.mark.parametrize("point", CRASHES)
def test_a_death_at_each_point(
    faulty_zygote: ZygoteRig, empty_image: Path, repetitions: Callable[[int], int], point: str
) -> None:
    crashes = repetitions(100)
    with closing(Trial(faulty_zygote, empty_image)) as trial:
        for _ in range(crashes):
            trial.drive(random.randrange(1, 50))
            trial.disk.black_box.page.crash_armed = POINTS[point] | random.randrange(1, 60) << 8
            trial.drive(100_000)
            assert trial.disk.black_box.page.crash_point == POINTS[point]
            assert trial.bury() == CRASHED_STATUS
        trial.drive(1000)
        trial.finish()
        assert trial.hits > 0


@pytest.mark.parametrize("fault", ["FAULT_DROPS", "FAULT_COMPLETES_TWICE"])
def test_the_checker_sees_a_device_that_does_wrong(
    faulty_zygote: ZygoteRig, empty_image: Path, fault: str
) -> None:
    with closing(Trial(faulty_zygote, empty_image)) as trial:
        trial.drive(500)
        trial.disk.black_box.page.crash_armed = POINTS[fault] | 7 << 8
        with pytest.raises((LostOrDoubledError, DriverError)):
            trial.drive(100_000)  # it goes on, and is found out
        assert trial.disk.black_box.page.crash_point == POINTS[fault]


def test_the_normal_build_has_no_crash_points(zygote: ZygoteRig, empty_image: Path) -> None:
    with closing(Trial(zygote, empty_image)) as trial:
        for number in POINTS.values():
            trial.disk.black_box.page.crash_armed = number | 1 << 8
            trial.drive(500)
            assert trial.disk.black_box.page.crash_armed == number | 1 << 8
        trial.finish()
        assert trial.disk.black_box.page.crash_point == 0
