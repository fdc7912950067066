"""What follows a death: on-death=, on-restart-limit=, and how soon."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from device_procs.device_registry import module_of
from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm
from tests.device.supervisor.conftest import StartVm
from tests.device.supervisor.driver_load import LENGTH, DriverLoad
from tests.device.supervisor.kinds_in_turn import KINDS_OPTION
from tests.device.supervisor.staged_kinds import staged_kind
from tests.device.supervisor.test_deaths_in_life import wait_for_restart
from vmm_main.device_supervisor.report_limit import REPORTS_AT_ONCE, REPORTS_PER_S
from vmm_main.device_supervisor.restart_policy import FIRST_DELAY_S, RESTARTS_AT_ONCE
from vmm_main.errors import HostError


def _kill(vm: SupervisedVm) -> int:
    pid = vm.pid()
    os.kill(pid, signal.SIGKILL)
    return pid


def _use_up(vm: SupervisedVm, restarts: int) -> int:
    """Kills the device until its restarts are used up; returns the last one's pid."""
    for _ in range(restarts):
        wait_for_restart(vm, _kill(vm))
    return _kill(vm)


def _actions(vm: SupervisedVm) -> list[str]:
    return [data["action"] for name, data in vm.events if name == "DEVICE_PROCESS_DIED"]


def _serves(vm: SupervisedVm) -> bool:
    return vm.transports[0].queues[0].run(100, 8, HANGS_AFTER_S) == 100 * LENGTH


def test_stop(start_vm: StartVm) -> None:
    vm = start_vm(on_death="stop")
    with DriverLoad(vm) as load:
        load.wait_for_progress()
        _kill(vm)
        vm.wait_for(lambda: bool(vm.pauses))
        assert vm.pauses == ["device rng0: its process is gone: killed by SIGKILL"]
        assert (vm.device().state, _actions(vm)) == ("stopped", ["stop"])
        vm.call(vm.supervisor.quiesce)
        vm.call(vm.supervisor.resume)  # cont tries again
        load.wait_for_progress()
    assert vm.device().state == "running"


def test_needs_reset(start_vm: StartVm) -> None:
    vm = start_vm(on_death="needs-reset")
    (transport,) = vm.transports
    for _ in range(3):
        assert _serves(vm)
        vm.events.clear()
        _kill(vm)
        assert transport.reset_is_needed.wait(HANGS_AFTER_S)
        vm.wait_for(lambda: len(vm.events) == 2)
        assert _actions(vm) == ["needs-reset"]
        reason = {"id": "rng0", "reason": "its process is gone: killed by SIGKILL"}
        assert vm.events[1] == ("DEVICE_NEEDS_RESET", reason)
        assert (vm.device().state, vm.device().process) == ("needs-reset", None)
        assert transport.reset()
        transport.driver_ok()
        transport.queues[0].fill(LENGTH)
    assert _serves(vm)


def test_a_driver_that_errs_again_and_again_is_told_of_now_and_then(
    start_vm: StartVm, capfd: pytest.CaptureFixture[str]
) -> None:
    vm = start_vm()
    begun = time.monotonic()
    for number in range(500):
        vm.device().report_fault(f"mistake {number}")
    vm.call(lambda: None)
    told = [data["reason"] for name, data in vm.events if name == "DEVICE_NEEDS_RESET"]
    assert told[:REPORTS_AT_ONCE] == [f"mistake {number}" for number in range(REPORTS_AT_ONCE)]
    assert len(told) <= REPORTS_AT_ONCE + (time.monotonic() - begun) * REPORTS_PER_S
    assert capfd.readouterr().err.count("needs a reset: mistake") == len(told)


def test_a_driver_cannot_have_processes_faster_than_the_policy_has_them(start_vm: StartVm) -> None:
    """With on-death=needs-reset it is the driver that starts them."""
    vm = start_vm(on_death="needs-reset", restart_limit=2)
    (transport,) = vm.transports
    waits = []
    for _ in range(3):
        _kill(vm)
        assert transport.reset_is_needed.wait(HANGS_AFTER_S)
        begun = time.monotonic()
        assert transport.reset()
        transport.driver_ok()
        transport.queues[0].fill(LENGTH)
        assert _serves(vm)
        waits.append(time.monotonic() - begun)
    assert waits[2] >= 1.0


def test_an_operators_restart_heals_without_a_reset(start_vm: StartVm) -> None:
    vm = start_vm(on_death="needs-reset")
    with DriverLoad(vm) as load:
        _kill(vm)
        vm.wait_for_state("needs-reset")
        vm.call(vm.device().restart)
        load.wait_for_progress()


def test_the_limit_stops(start_vm: StartVm) -> None:
    vm = start_vm(restart_limit=2)
    _use_up(vm, 2)
    vm.wait_for(lambda: bool(vm.pauses))
    assert (vm.device().state, _actions(vm)) == ("stopped", ["restart", "restart", "stop"])
    vm.call(vm.supervisor.quiesce)
    vm.call(vm.supervisor.resume)
    assert _serves(vm)
    assert vm.device().restarts == 3


def test_what_always_dies_comes_to_the_limit(start_vm: StartVm) -> None:
    """With the real number of restarts, and the time that they really take."""
    vm = start_vm(restart_limit=RESTARTS_AT_ONCE)
    _use_up(vm, RESTARTS_AT_ONCE)
    vm.wait_for(lambda: bool(vm.pauses))
    assert (vm.device().state, _actions(vm)) == ("stopped", [*["restart"] * RESTARTS_AT_ONCE, "stop"])


def test_the_limit_needs_a_reset(start_vm: StartVm) -> None:
    vm = start_vm(restart_limit=2, on_restart_limit="needs-reset")
    _use_up(vm, 2)
    assert vm.transports[0].reset_is_needed.wait(HANGS_AFTER_S)
    assert (vm.device().state, _actions(vm)) == ("needs-reset", ["restart", "restart", "needs-reset"])
    assert vm.pauses == []


def test_short_lives_are_followed_later_each_time(tmp_path: Path) -> None:
    """The real policy, from the first death to the end of the second backoff."""
    vm = SupervisedVm(tmp_path / "uids.lock", [{}])
    try:
        outages = []
        for _ in range(6):
            begun = time.monotonic()
            wait_for_restart(vm, _kill(vm))
            outages.append(time.monotonic() - begun)
    finally:
        vm.close()
    for step, outage_s in enumerate(outages[1:]):
        assert outage_s >= FIRST_DELAY_S * 2**step
    assert all(sooner < later for sooner, later in pairwise(outages[3:]))


@pytest.fixture
def hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process ends before it is ready."""
    monkeypatch.setattr(module_of("virtio-rng"), "kind", staged_kind("configured", "exit"))


@pytest.mark.usefixtures("hopeless")
@pytest.mark.parametrize("on_death", ["restart", "needs-reset", "stop"])
def test_a_start_that_fails_is_an_error_of_the_start(start_vm: StartVm, on_death: str) -> None:
    why = "^-device virtio-rng-device,id=rng0: ended by itself, when it made the device$"
    with pytest.raises(HostError, match=why):
        start_vm(zygote_options=KINDS_OPTION, on_death=on_death)
