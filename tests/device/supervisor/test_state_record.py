"""The device-state record: main checks what a process commits, and gives its successor the last good one."""

from __future__ import annotations

import select
import time
from functools import partial
from typing import Any

import pytest

from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm
from tests.device.supervisor.conftest import StartVm
from tests.device.supervisor.driver_load import DriverLoad
from tests.device.supervisor.kinds_in_turn import KindsInTurn
from tests.device.supervisor.stateful_kinds import (
    ALLOWED,
    RETURNED,
    RETURNING,
    WRONG,
    committing,
    erring,
    vocabulary,
)

pytestmark = pytest.mark.timeout(300)
OPTIONS = ("-X", "bulkhead_extra_kinds=tests.device.supervisor.stateful_kinds")


def record_of(vm: SupervisedVm) -> Any:
    """What main keeps for the device."""
    return vm.call(lambda: vm.device()._state_record)


def wait_for_record(vm: SupervisedVm, record: Any) -> None:
    """Nothing tells of it."""
    expires = time.monotonic() + HANGS_AFTER_S
    while (found := record_of(vm)) != record:
        assert time.monotonic() < expires, (found, vm.events)
        select.select([], [], [], 0.001)


def start(start_vm: StartVm) -> tuple[SupervisedVm, KindsInTurn]:
    """A VM whose only device has a record from its next process on."""
    vm = start_vm(zygote_options=OPTIONS)
    vm.call(lambda: setattr(vm.device(), "_vocabulary", vocabulary()))
    return vm, KindsInTurn(vm)


def restarts(vm: SupervisedVm) -> int:
    return sum(name == "DEVICE_PROCESS_RESTARTED" for name, _ in vm.events)


def has_restarts(vm: SupervisedVm, count: int) -> bool:
    return restarts(vm) == count


@pytest.mark.parametrize("number", range(len(ALLOWED)))
def test_the_last_one_comes_back(start_vm: StartVm, number: int) -> None:
    """Up to its bounds, and through a process that commits what it was given."""
    vm, kinds = start(start_vm)
    with DriverLoad(vm) as load:
        kinds.restart_as(committing(number))
        wait_for_record(vm, ALLOWED[number])
        kinds.restart_as(RETURNING)
        wait_for_record(vm, {**ALLOWED[number], "name": RETURNED})
        load.wait_for_progress()


def test_a_wrong_one_ends_its_process_and_changes_nothing(start_vm: StartVm) -> None:
    vm, kinds = start(start_vm)
    with DriverLoad(vm) as load:
        kinds.restart_as(committing(0))
        wait_for_record(vm, ALLOWED[0])
        for what in WRONG:
            before = restarts(vm)
            kinds.restart_as(erring(what))
            kinds.coming.append(RETURNING)
            vm.wait_for(partial(has_restarts, vm, before + 2))
            cause = [data["cause"] for name, data in vm.events if name == "DEVICE_PROCESS_DIED"][-1]
            assert cause.startswith("sent a malformed message: rng0: STATE.record"), what
            wait_for_record(vm, {**ALLOWED[0], "name": RETURNED})
        load.wait_for_progress()


def test_a_drivers_reset_ends_it(start_vm: StartVm) -> None:
    """What the driver had asked for is not the next driver's."""
    vm, kinds = start(start_vm)
    kinds.restart_as(committing(1))
    wait_for_record(vm, ALLOWED[1])
    vm.transports[0].reset()
    assert record_of(vm) is None
