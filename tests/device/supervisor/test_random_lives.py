"""Everything that may happen to a VM's devices, in any order, one before the other is over."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm
from tests.device.supervisor.conftest import StartVm
from tests.device.supervisor.driver_load import LENGTH
from tests.device.supervisor.test_zygote_deaths import wait_for_family, zygotes

SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)


def _kill_device(vm: SupervisedVm, number: int, chance: random.Random) -> None:
    process = vm.device(number).process
    if process is not None and process.pid is not None:
        try:
            os.kill(process.pid, chance.choice(SIGNALS))
        except ProcessLookupError:
            return  # it has been reaped meanwhile


def _kill_zygote(vm: SupervisedVm, _number: int, _chance: random.Random) -> None:
    pid = zygotes(vm)._current.pid
    if pid is not None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _restart(vm: SupervisedVm, number: int, _chance: random.Random) -> None:
    vm.call(vm.device(number).restart)


def _stop_and_cont(vm: SupervisedVm, number: int, chance: random.Random) -> None:
    vm.call(vm.supervisor.quiesce)
    if chance.random() < 0.5:
        _kill_device(vm, number, chance)
    vm.call(vm.supervisor.resume)


def _reset(vm: SupervisedVm, number: int, chance: random.Random) -> None:
    if chance.random() < 0.5:
        _kill_device(vm, number, chance)
    assert vm.transports[number].reset() is True
    vm.transports[number].driver_ok()
    vm.transports[number].queues[0].fill(LENGTH)


def _use(vm: SupervisedVm, number: int, chance: random.Random) -> None:
    requests = chance.randrange(1, 300)
    assert vm.transports[number].queues[0].run(requests, 8, HANGS_AFTER_S) == requests * LENGTH


# Zygotes die seldom: a device that is never made costs a restart each time.
EVENTS = (
    *[_kill_device] * 4,
    *[_use] * 4,
    *[_restart] * 2,
    *[_stop_and_cont] * 2,
    *[_reset] * 4,
    _kill_zygote,
)


def test_nothing_is_lost(start_vm: StartVm, repetitions: Callable[[int], int]) -> None:
    chance, devices = random.Random(11), 3
    vm = start_vm(devices)
    for _ in range(repetitions(3000)):
        chance.choice(EVENTS)(vm, chance.randrange(devices), chance)
    for number in range(devices):
        _use(vm, number, chance)
    wait_for_family(vm)
    assert vm.pauses == []
    deaths = [data["cause"] for name, data in vm.events if name == "DEVICE_PROCESS_DIED"]
    restarts = [data for name, data in vm.events if name == "DEVICE_PROCESS_RESTARTED"]
    print(f"{len(deaths)} deaths, {len(restarts)} processes that became ready after one")
    assert len(deaths) >= len(restarts) > 0
    wrong = ("malformed", "sent", "not answered", "not ready", "no answer")
    of_its_own = [cause.replace(", sent by another process", "") for cause in deaths]
    assert [cause for cause in of_its_own if any(word in cause for word in wrong)] == []
