"""virtio-rng under main's supervisor, behind a fake transport: resets, stops and deaths for its driver."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm

LENGTH = 64


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[SupervisedVm]:
    made = SupervisedVm(tmp_path / "uids.lock", [{}])
    yield made
    made.close()


def test_a_driver_is_served(vm: SupervisedVm) -> None:
    (transport,) = vm.transports
    transport.driver_ok()
    transport.queues[0].fill(LENGTH)
    assert transport.queues[0].run(2000, 16, HANGS_AFTER_S) == 2000 * LENGTH
    assert vm.events == []


def test_several_devices_at_once(tmp_path: Path) -> None:
    vm = SupervisedVm(tmp_path / "uids.lock", [{}, {"max-bytes": 6400, "period": 100}, {}, {}])
    try:
        for transport in vm.transports:
            transport.driver_ok()
            transport.queues[0].fill(LENGTH)
        for transport in vm.transports:
            assert transport.queues[0].run(200, 8, HANGS_AFTER_S) == 200 * LENGTH
        assert len({vm.pid(number) for number in range(4)}) == 4
    finally:
        vm.close()


def test_the_average_holds_over_restarts(tmp_path: Path) -> None:
    """A first process begins with a full bucket, its successors with an empty one."""
    period_s, requests = 3.0, 10
    keys = {"max-bytes": requests * LENGTH, "period": int(period_s * 1000)}
    vm = SupervisedVm(tmp_path / "uids.lock", [keys])
    try:
        (transport,) = vm.transports
        transport.driver_ok()
        queue = transport.queues[0]
        queue.fill(LENGTH)
        assert queue.run(requests, 1, HANGS_AFTER_S) == requests * LENGTH
        for restarts in (1, 2):
            killed_s = time.monotonic()
            os.kill(vm.pid(), signal.SIGKILL)
            assert queue.run(1, 1, HANGS_AFTER_S) == LENGTH
            assert time.monotonic() - killed_s >= period_s / requests
            assert vm.device().restarts == restarts
    finally:
        vm.close()


def test_resets_by_the_driver(vm: SupervisedVm) -> None:
    (transport,) = vm.transports
    pid = vm.pid()
    for _ in range(10):
        transport.driver_ok()
        transport.queues[0].fill(LENGTH)
        transport.queues[0].run(50, 8, HANGS_AFTER_S)
        transport.queues[0].offer(0, 1, 2)
        assert transport.reset()
        used = transport.queues[0].used_idx
        transport.queues[0].offer(3)
        assert transport.queues[0].used_idx == used
    assert vm.pid() == pid


def test_a_malformed_chain_sets_needs_reset(vm: SupervisedVm) -> None:
    (transport,) = vm.transports
    transport.driver_ok()
    transport.queues[0].offer(64)
    assert transport.reset_is_needed.wait(HANGS_AFTER_S)
    vm.wait_for(lambda: bool(vm.events))
    name, data = vm.events[0]
    assert name == "DEVICE_NEEDS_RESET"
    assert data["reason"] == "queue 0: the available ring names a descriptor beyond the table"
    assert transport.reset()
    transport.driver_ok()
    transport.queues[0].fill(LENGTH)
    assert transport.queues[0].run(50, 8, HANGS_AFTER_S) == 50 * LENGTH


def test_stop_and_cont(vm: SupervisedVm) -> None:
    (transport,) = vm.transports
    transport.driver_ok()
    queue = transport.queues[0]
    queue.fill(LENGTH)
    for _ in range(10):
        queue.run(20, 8, HANGS_AFTER_S)
        vm.call(vm.supervisor.quiesce)
        queue.offer(5)
        assert queue.take() is None
        vm.call(vm.supervisor.resume)
        assert queue.wait(HANGS_AFTER_S) == (5, LENGTH)


def test_killed_under_load(vm: SupervisedVm, repetitions: Callable[[int], int]) -> None:
    (transport,) = vm.transports
    transport.driver_ok()
    queue, kills = transport.queues[0], repetitions(10)
    queue.fill(LENGTH)
    stops, errors = threading.Event(), []

    def drive() -> None:
        try:
            while not stops.is_set():
                assert queue.run(2000, 32, HANGS_AFTER_S) == 2000 * LENGTH
        except BaseException as error:  # noqa: BLE001 (looked at by the test's own thread)
            errors.append(error)

    driver = threading.Thread(target=drive)
    driver.start()
    try:
        for number in range(kills):
            pid = vm.pid()
            os.kill(pid, signal.SIGKILL)
            restarted = 2 * (number + 1)
            vm.wait_for(lambda restarted=restarted: len(vm.events) >= restarted)  # type: ignore[misc]
            vm.wait_for_state("running")
            assert vm.pid() != pid
    finally:
        stops.set()
        driver.join()
    assert errors == []
    assert [name for name, _ in vm.events] == ["DEVICE_PROCESS_DIED", "DEVICE_PROCESS_RESTARTED"] * kills
    assert vm.device().restarts == kills
