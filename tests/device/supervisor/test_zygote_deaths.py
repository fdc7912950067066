"""The death of zygote and spawner, before, while and after they make what they were asked for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm
from tests.device.supervisor.conftest import StartVm, is_closed_to_its_user, short_deadlines
from tests.device.supervisor.driver_load import DriverLoad
from tests.device.supervisor.kinds_in_turn import KINDS_OPTION, KindsInTurn
from tests.device.supervisor.staged_kinds import (
    ZYGOTE_DIES_AFTER_MAPS,
    ZYGOTE_DIES_BEFORE_MAPS,
    ZYGOTE_IS_NOBODYS,
)
from tests.device.supervisor.test_deaths_in_life import wait_for_restart
from vmm_main.device_supervisor.own_children import own_children
from vmm_main.kvm._kvm import lib

DEADLINE_S = 0.5


def zygotes(vm: SupervisedVm) -> Any:
    """The supply, which has no other door."""
    return vm.supervisor._zygotes


def zygote_pid(vm: SupervisedVm) -> int:
    """The current zygote's, once the spawner has told it."""
    expires = time.monotonic() + HANGS_AFTER_S
    while (pid := vm.call(lambda: zygotes(vm)._current.pid)) is None:
        assert time.monotonic() < expires, "the spawner tells no pid"
    return int(pid)


def wait_for_family(vm: SupervisedVm) -> None:
    """Waits until main has no other children than it knows: spawner, zygote, devices."""
    expires = time.monotonic() + HANGS_AFTER_S
    while True:
        zygote_pid(vm)
        children = set(vm.call(own_children) or ())
        known = {vm.pid(number) for number in range(len(vm.supervisor.devices))}
        if children == known | set(vm.call(lambda: zygotes(vm).pids)) and len(children) == len(known) + 2:
            return
        assert time.monotonic() < expires, f"children {children}, known are {known}, {zygotes(vm).pids}"


def test_a_zygote_with_nothing_to_do(start_vm: StartVm, repetitions: Callable[[int], int]) -> None:
    vm = start_vm()
    with DriverLoad(vm) as load:
        for _ in range(repetitions(50)):
            os.kill(zygote_pid(vm), signal.SIGKILL)
            pid = vm.pid()
            load.wait_for_progress()
            os.kill(pid, signal.SIGKILL)
            wait_for_restart(vm, pid)
            load.wait_for_progress()
            wait_for_family(vm)


@pytest.mark.parametrize("when", [ZYGOTE_DIES_BEFORE_MAPS, ZYGOTE_DIES_AFTER_MAPS, ZYGOTE_IS_NOBODYS])
def test_a_zygote_that_has_cloned_and_not_told(
    start_vm: StartVm, repetitions: Callable[[int], int], when: str
) -> None:
    """Its last process is nobody's, and must not stay: not alive, nor as a zombie."""
    vm = start_vm(zygote_options=KINDS_OPTION)
    vm.call(lambda: lib.capabilities_keep(0))  # as main does it: it may not kill whom it likes
    kinds = KindsInTurn(vm)
    with DriverLoad(vm) as load:
        for _ in range(repetitions(50)):
            load.wait_for_progress()
            vm.events.clear()
            zygote = zygote_pid(vm)
            kinds.restart_as(when)
            vm.wait_for(lambda: bool(vm.events) and vm.events[-1][0] == "DEVICE_PROCESS_RESTARTED")
            causes = [data["cause"] for name, data in vm.events if name == "DEVICE_PROCESS_DIED"]
            never_made = f"was never made: zygote {zygote} ended with signal 11"
            assert causes == ["replaced by device_process_restart", never_made]
            load.wait_for_progress()
            wait_for_family(vm)


def test_a_zygote_that_was_asked_only(start_vm: StartVm, repetitions: Callable[[int], int]) -> None:
    vm = start_vm()
    with DriverLoad(vm) as load:
        for _ in range(repetitions(50)):
            vm.events.clear()
            zygote = zygote_pid(vm)
            os.kill(zygote, signal.SIGSTOP)
            vm.call(vm.device().restart)
            vm.wait_for(lambda: bool(vm.events))
            os.kill(zygote, signal.SIGKILL)
            vm.wait_for(lambda: vm.events[-1][0] == "DEVICE_PROCESS_RESTARTED")
            assert vm.events[1][1]["cause"] == f"was never made: zygote {zygote} ended with signal 9"
            load.wait_for_progress()
            wait_for_family(vm)


def test_a_zygote_that_dies_when_what_it_was_asked_for_is_late(start_vm: StartVm) -> None:
    """Main had given that process up before; it is told as that."""
    vm = start_vm(deadlines=short_deadlines(start_s=DEADLINE_S))
    with DriverLoad(vm) as load:
        zygote = zygote_pid(vm)
        os.kill(zygote, signal.SIGSTOP)
        vm.call(vm.device().restart)
        vm.wait_for(lambda: bool(vm.events))
        vm.wait_for_state("dying")
        os.kill(zygote, signal.SIGKILL)
        vm.wait_for(lambda: len(vm.events) > 1)
        assert vm.events[1][1]["cause"] == f"not ready within {DEADLINE_S:g} s"
        vm.call(lambda: setattr(vm.supervisor.deadlines, "start_s", HANGS_AFTER_S))
        load.wait_for_progress()


def test_a_zygote_that_hangs(start_vm: StartVm) -> None:
    vm = start_vm(deadlines=short_deadlines(warm_zygote_s=DEADLINE_S))
    with DriverLoad(vm) as load:
        zygote = zygote_pid(vm)
        os.kill(zygote, signal.SIGSTOP)
        vm.call(vm.device().restart)
        vm.wait_for(lambda: len(vm.events) == 3)
        cause = f"was never made: zygote: no answer within {DEADLINE_S:g} s"
        assert vm.events[1][1]["cause"] == cause
        load.wait_for_progress()
        wait_for_family(vm)
        assert not Path(f"/proc/{zygote}").exists()


def test_a_spawner_that_dies(start_vm: StartVm, repetitions: Callable[[int], int]) -> None:
    """The zygote that is there goes on; what needs a new one ends in the policy for that, at once."""
    for _ in range(repetitions(50)):
        _lose_the_spawner(start_vm())


def _lose_the_spawner(vm: SupervisedVm) -> None:
    zygote_pid(vm)
    spawner = zygotes(vm)._spawner.pid
    os.kill(spawner, signal.SIGKILL)
    expires = time.monotonic() + HANGS_AFTER_S
    while Path(f"/proc/{spawner}").exists():
        assert time.monotonic() < expires, "the spawner isn't reaped"
    with DriverLoad(vm) as load:
        pid = vm.pid()
        os.kill(pid, signal.SIGKILL)
        wait_for_restart(vm, pid)
        load.wait_for_progress()
    os.kill(vm.pid(), signal.SIGSEGV)
    vm.wait_for(lambda: bool(vm.pauses))
    assert vm.device().state == "stopped"
    actions = [data["action"] for name, data in vm.events if name == "DEVICE_PROCESS_DIED"]
    assert actions == ["restart", "stop"]


def test_a_spawner_that_hangs(start_vm: StartVm, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told as that: it was there until main killed it."""
    vm = start_vm(deadlines=short_deadlines(zygote_s=DEADLINE_S))
    zygote_pid(vm)
    os.kill(zygotes(vm)._spawner.pid, signal.SIGSTOP)
    os.kill(vm.pid(), signal.SIGSEGV)
    vm.wait_for(lambda: bool(vm.pauses))
    died = [data for name, data in vm.events if name == "DEVICE_PROCESS_DIED"]
    assert (died[0]["action"], died[-1]["action"]) == ("restart", "stop")
    assert died[1]["cause"] == f"was never made: zygote: no answer within {DEADLINE_S:g} s"
    killed = f"the spawner was killed, because it started no zygote within {DEADLINE_S:g} s"
    assert died[-1]["cause"].startswith(f"was never made: {killed}")
    said = capfd.readouterr().err
    assert f"{killed}: a device process that dies by a fault can't be replaced any more" in said
    assert "spawner is gone" not in said


def test_a_successor_after_a_fault_has_another_layout(start_vm: StartVm) -> None:
    vm = start_vm()
    if is_closed_to_its_user(vm.pid()):
        return
    layouts = [_layout(vm.pid())]
    for number in (signal.SIGSEGV, signal.SIGSEGV, signal.SIGABRT):
        pid = vm.pid()
        os.kill(pid, number)
        wait_for_restart(vm, pid)
        layouts.append(_layout(vm.pid()))
    for name in layouts[0]:
        starts = [layout[name] for layout in layouts]
        assert len(set(starts)) == len(starts), f"{name} is where it was: {starts}"


def test_a_successor_after_an_operators_kill_may_have_the_same(start_vm: StartVm) -> None:
    """So that the test above would see it if it were."""
    vm = start_vm()
    if is_closed_to_its_user(vm.pid()):
        return
    zygote, pid, layout = zygote_pid(vm), vm.pid(), _layout(vm.pid())
    vm.call(vm.device().restart)
    wait_for_restart(vm, pid)
    assert (zygote_pid(vm), _layout(vm.pid())) == (zygote, layout)


def _layout(pid: int) -> dict[str, str]:
    """Where a process has its stack, heap, libc and our extension."""
    found: dict[str, str] = {}
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
        addresses, *_, name = line.split()
        for wanted in ("[stack]", "[heap]", "libc.so", "_data_plane"):
            if wanted in name:
                found.setdefault(wanted, addresses.partition("-")[0])
    assert len(found) == 4, found
    return found
