"""A disk under main's supervisor: killed under load, with a hostile end, with I/O that outlives it."""

from __future__ import annotations

import os
import random
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm
from tests.device.virtio_blk.disk_load import BLOCK_BYTES, DiskLoad
from tools.fake_driver.disk_driver import IN, OK, DiskDriver
from vmm_main.device_supervisor.held_descriptors import HeldDescriptors
from vmm_main.device_supervisor.last_io import LastIo

pytestmark = pytest.mark.timeout(300)

BLOCKS = 512
EVENTS_OF_A_DEATH = ["DEVICE_PROCESS_DIED", "DEVICE_PROCESS_RESTARTED"]

StartVm = Callable[..., SupervisedVm]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(BLOCKS * BLOCK_BYTES)
    return path


@pytest.fixture
def start_vm(tmp_path: Path, image: Path) -> Iterator[StartVm]:
    made: list[SupervisedVm] = []

    def start(**drive: object) -> SupervisedVm:
        drives = ({"file": str(image), **drive},)
        made.append(SupervisedVm(tmp_path / "uids.lock", [], drives=drives, restart_limit=1000))
        return made[-1]

    yield start
    for vm in made:
        vm.close()


def driver_of(vm: SupervisedVm, features: int | None = None) -> DiskDriver:
    (transport,) = vm.transports
    transport.driver_ok(features, size=256)
    return DiskDriver(vm.ram, transport.queues[0], BLOCK_BYTES)


def drive(vm: SupervisedVm, load: DiskLoad, driver: DiskDriver, count: int) -> None:
    wanted = load.acknowledged + count
    while load.acknowledged < wanted:
        load.top_up()
        if load.take() == 0:
            driver.queue.wait_for_call_or(vm.transports[0].device.call_fds[0], HANGS_AFTER_S)


@pytest.mark.parametrize("direct", [False, True], ids=["buffered", "direct"])
def test_killed_under_load(
    start_vm: StartVm, image: Path, repetitions: Callable[[int], int], direct: bool
) -> None:
    vm, kills = start_vm(direct=direct), repetitions(50)
    driver = driver_of(vm)
    load = DiskLoad(driver, range(BLOCKS), 30, random.randrange(1 << 32))
    for number in range(kills):
        drive(vm, load, driver, random.randrange(1, 200))
        load.top_up()
        os.kill(vm.pid(), signal.SIGKILL)
        restarted = 2 * (number + 1)
        vm.wait_for(lambda restarted=restarted: len(vm.events) >= restarted)  # type: ignore[misc]
    drive(vm, load, driver, 1000)
    while load.in_flight:
        if load.take() == 0:
            driver.queue.wait_for_call_or(vm.transports[0].device.call_fds[0], HANGS_AFTER_S)
    load.check_image(image)
    # What was done twice is counted twice, and nothing is lost with a process.
    counted = vm.device().counters.total(vm.device().process.black_box)  # type: ignore[union-attr]
    done = sum(counted[name] for name in ("reads", "writes", "discards", "flushes"))
    assert load.acknowledged <= done <= load.acknowledged + 30 * kills
    assert [name for name, _ in vm.events] == EVENTS_OF_A_DEATH * kills


def test_a_death_is_none_before_its_last_io(start_vm: StartVm, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a direct disk may still do something, nobody takes over; a copy of its end stands for that."""
    copies: list[int] = []
    make = HeldDescriptors.make_last_io

    def make_and_copy(held: HeldDescriptors) -> LastIo | None:
        last_io = make(held)
        assert last_io is not None
        copies.append(os.dup(last_io.given_fd))
        return last_io

    monkeypatch.setattr(HeldDescriptors, "make_last_io", make_and_copy)
    vm = start_vm(direct=True)
    driver = driver_of(vm)
    assert driver.do(IN, 0, room=BLOCK_BYTES).status == OK
    pidfd = os.pidfd_open(vm.pid())
    os.kill(vm.pid(), signal.SIGKILL)
    assert select.select([pidfd], [], [], HANGS_AFTER_S)[0]
    os.close(pidfd)
    vm.call(lambda: None)  # what main has heard by now
    vm.wait_for_state("dying")
    assert vm.events == []
    os.close(copies[0])
    vm.wait_for(lambda: len(vm.events) == 2)
    assert [name for name, _ in vm.events] == EVENTS_OF_A_DEATH
    assert driver.do(IN, 0, room=BLOCK_BYTES).status == OK
    os.close(copies[1])


def test_a_hostile_end_is_told(start_vm: StartVm, image: Path) -> None:
    """By an event and to the driver, whose reset heals it; the image is what it was."""
    vm = start_vm()
    driver = driver_of(vm)
    assert driver.do(IN, 0, room=BLOCK_BYTES).status == OK
    content = image.read_bytes()
    held = vm.device().held
    assert held.inflight is not None
    os.kill(vm.pid(), signal.SIGSTOP)
    os.pwrite(held.inflight.fd, b"\xff" * 64, 0)
    os.kill(vm.pid(), signal.SIGKILL)
    (transport,) = vm.transports
    assert transport.reset_is_needed.wait(HANGS_AFTER_S)
    vm.wait_for(lambda: len(vm.events) == 3)
    name, data = vm.events[-1]
    assert name == "DEVICE_NEEDS_RESET"
    assert data["reason"] == "queue 0: the in-flight log isn't this queue's"
    assert transport.reset()
    assert driver_of(vm).do(IN, 0, room=BLOCK_BYTES).status == OK
    assert image.read_bytes() == content


def test_stop_and_cont_with_requests_in_flight(start_vm: StartVm, image: Path) -> None:
    vm = start_vm()
    driver = driver_of(vm)
    load = DiskLoad(driver, range(BLOCKS), 30, random.randrange(1 << 32))
    for _ in range(20):
        drive(vm, load, driver, 50)
        load.top_up()
        vm.call(vm.supervisor.quiesce)
        load.take()
        used = driver.queue.used_idx
        load.top_up()
        assert driver.queue.used_idx == used
        if random.random() < 0.3:  # a death in between changes nothing
            os.kill(vm.pid(), signal.SIGKILL)
            vm.wait_for_state("paused")
        vm.call(vm.supervisor.resume)
    drive(vm, load, driver, 100)
    while load.in_flight:
        if load.take() == 0:
            driver.queue.wait_for_call_or(vm.transports[0].device.call_fds[0], HANGS_AFTER_S)
    load.check_image(image)


def test_resets_with_requests_in_flight(start_vm: StartVm) -> None:
    """Nothing is written to the driver's memory once its reset is done."""
    vm = start_vm(direct=True)
    (transport,) = vm.transports
    for _ in range(20):
        driver = driver_of(vm)
        for slot in range(30):
            driver.offer(slot, IN, 8 * slot, room=BLOCK_BYTES)
        driver.publish()
        assert transport.reset()
        marker = os.urandom(BLOCK_BYTES)
        for slot in range(30):
            vm.ram.write(driver.data_gpa(slot), marker)
        assert driver_of(vm).do(IN, 8, room=BLOCK_BYTES, slot=31).status == OK
        assert all(vm.ram.read(driver.data_gpa(slot), BLOCK_BYTES) == marker for slot in range(30))
