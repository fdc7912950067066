"""A disk that dies under load, at any moment and at chosen ones: all that was acknowledged is there, once."""

from __future__ import annotations

import os
import random
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.device.virtio_blk.disk_load import BLOCK_BYTES, DiskLoad, LostOrDoubledError
from tests.device.virtio_blk.disk_rig import DiskRig
from tests.device.virtio_blk.fault_build import CRASHED_STATUS, CRASHES, POINTS, fault_build_option
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
    """A disk under load that dies again and again."""

    def __init__(self, zygote: ZygoteRig, image: Path, *, direct: bool = False) -> None:
        self.image = image
        self.disk = DiskRig(zygote, image, direct=direct, data_bytes=BLOCK_BYTES)
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        self.load = DiskLoad(self.disk.run(), BLOCKS, DEPTH, seed)
        self.deaths = self.hits = 0

    @property
    def has_ended(self) -> bool:
        return bool(select.select([self.disk.pidfd], [], [], 0)[0])

    def drive(self, count: int) -> None:
        """Until so many requests more have ended, or the process has."""
        wanted = self.load.acknowledged + count
        while self.load.acknowledged < wanted and not self.has_ended:
            self.load.top_up()
            if self.load.take() == 0:
                self.disk.queues[0].wait_for_call_or(self.disk.pidfd, HANGS_AFTER_S)

    def bury(self) -> int:
        """Waits for the end, and has a successor take over; returns how it ended."""
        status = self.disk.wait_for_end()
        queue = self.disk.queues[0]
        self.deaths += 1
        self.hits += queue.avail_idx != queue.used_idx
        self.disk.take_over()
        return status

    def finish(self) -> None:
        """Waits for what is in flight, and compares the image."""
        while self.load.in_flight:
            if self.load.take() == 0:
                self.disk.queues[0].wait_for_call_or(self.disk.pidfd, HANGS_AFTER_S)
            assert not self.has_ended
        queue = self.disk.queues[0]
        assert (queue.used_idx, queue.take()) == (queue.avail_idx, None)
        self.load.check_image(self.image)
        print(
            f"{self.deaths} deaths, {self.hits} with requests in flight; {self.load.acknowledged} requests, "
            f"{self.load.overtaken} ended after a later one"
        )

    def close(self) -> None:
        self.disk.close()


@pytest.mark.parametrize("direct", [False, True], ids=["buffered", "direct"])
def test_killed_at_random(
    zygote: ZygoteRig, empty_image: Path, repetitions: Callable[[int], int], direct: bool
) -> None:
    kills = repetitions(500)
    with closing(Trial(zygote, empty_image, direct=direct)) as trial:
        for _ in range(kills):
            trial.drive(random.randrange(1, 200))
            trial.load.top_up()
            until = time.monotonic() + random.random() / 2000
            while time.monotonic() < until:  # its worker works meanwhile
                pass
            os.kill(trial.disk.pid, signal.SIGKILL)
            assert trial.bury() == -signal.SIGKILL
        trial.drive(1000)
        trial.finish()
        assert trial.hits > 0
        assert trial.load.overtaken > 0


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
