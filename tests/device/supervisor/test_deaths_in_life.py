"""The death of a device's process at work, at rest, and on its way from one to the other."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm
from tests.device.supervisor.conftest import StartVm, short_deadlines
from tests.device.supervisor.driver_load import LENGTH, DriverLoad
from tests.device.supervisor.kinds_in_turn import KINDS_OPTION
from vmm_main.device_supervisor.own_children import own_children

DEADLINE_S = 0.2
CAUSES = {
    signal.SIGKILL: "killed by SIGKILL",
    signal.SIGSEGV: "killed by SIGSEGV, sent by another process",
    signal.SIGBUS: "killed by SIGBUS, sent by another process",
    signal.SIGABRT: "killed by SIGABRT, sent by another process",
}


def wait_for_restart(vm: SupervisedVm, old_pid: int) -> str:
    """Waits until the next process is ready; returns what the last one died of."""

    def is_back() -> bool:
        names = [name for name, data in vm.events if name != "DEVICE_PROCESS_DIED" or data["pid"] == old_pid]
        return names[-2:] == ["DEVICE_PROCESS_DIED", "DEVICE_PROCESS_RESTARTED"]

    vm.wait_for(is_back)
    (cause,) = [data["cause"] for _, data in vm.events if data.get("pid") == old_pid and "cause" in data]
    return str(cause)


def in_background(function: Callable[[], Any]) -> Callable[[], Any]:
    """Begins something that waits; returns what waits for its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()

    def finish() -> Any:
        thread.join(HANGS_AFTER_S)
        return results[0]

    return finish


def stop_process(vm: SupervisedVm, number: int = 0) -> int:
    """A device's process goes no further, whatever it is asked."""
    pid = vm.pid(number)
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    return pid


def state(vm: SupervisedVm) -> str:
    """The device's, once main's thread has done what it was at."""
    return vm.call(lambda: vm.device().state)


def wait_until(vm: SupervisedVm, is_so: Callable[[], bool]) -> None:
    """Lets main's thread go on until something has been begun."""
    for _ in range(100_000):
        if vm.call(is_so):
            return
    raise AssertionError("it is never begun")


@pytest.mark.parametrize("number", CAUSES, ids=lambda number: signal.Signals(number).name)
def test_at_work(start_vm: StartVm, repetitions: Callable[[int], int], number: signal.Signals) -> None:
    vm, kills, hits = start_vm(), repetitions(50), 0
    with DriverLoad(vm) as load:
        for _ in range(kills):
            load.wait_for_requests()
            pid = vm.pid()
            hits += load.in_flight > 0
            os.kill(pid, number)
            assert wait_for_restart(vm, pid).startswith(CAUSES[number])
            assert not Path(f"/proc/{pid}").exists(), "two processes had the ring"
        load.wait_for_progress()
    print(f"{kills} times {number.name}, {hits} with requests in flight")
    assert hits > 0
    assert vm.device().restarts == kills


def test_at_work_by_the_operator(start_vm: StartVm, repetitions: Callable[[int], int]) -> None:
    vm = start_vm(on_death="stop")  # the operator's wish comes before the policy
    with DriverLoad(vm) as load:
        for _ in range(repetitions(50)):
            load.wait_for_progress()
            pid = vm.pid()
            vm.call(vm.device().restart)
            assert wait_for_restart(vm, pid) == "replaced by device_process_restart"
        load.wait_for_progress()
    assert vm.pauses == []


def test_by_the_operator_before_main_knows_its_pid(
    start_vm: StartVm, repetitions: Callable[[int], int]
) -> None:
    """It ends as its socket does, before it can be killed: no fault, and no restart of the policy's."""
    vm = start_vm(restart_limit=0)
    device = vm.device()
    zygote = vm.call(lambda: vm.supervisor._zygotes._current)

    def restart_twice() -> None:
        device.restart()
        while device.state != "configured":
            vm.supervisor.loop.run_once(HANGS_AFTER_S)
        device.restart()
        assert device.process is not None
        assert device.process.pid is None
        known = {*vm.supervisor._zygotes.pids}
        while not (young := set(own_children() or ()) - known):
            pass
        os.waitid(os.P_PID, young.pop(), os.WEXITED | os.WNOWAIT)

    for _ in range(repetitions(50)):
        vm.events.clear()
        vm.call(restart_twice)
        vm.wait_for(lambda: vm.events[-1][0] == "DEVICE_PROCESS_RESTARTED")
        causes = [data["cause"] for name, data in vm.events if name == "DEVICE_PROCESS_DIED"]
        assert causes == ["replaced by device_process_restart"] * 2
    assert (vm.pauses, vm.call(lambda: vm.supervisor._zygotes._current)) == ([], zygote)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=["SIGKILL", "SIGSEGV"])
def test_at_rest(start_vm: StartVm, repetitions: Callable[[int], int], number: signal.Signals) -> None:
    """A successor in a VM that is stopped has the rings, and leaves them alone until cont."""
    vm = start_vm()
    queue = vm.transports[0].queues[0]
    for _ in range(repetitions(50)):
        assert queue.run(100, 8, HANGS_AFTER_S) == 100 * LENGTH
        vm.call(vm.supervisor.quiesce)
        assert vm.device().state == "paused"
        pid = vm.pid()
        os.kill(pid, number)
        wait_for_restart(vm, pid)
        assert state(vm) == "paused"
        queue.offer(5)
        process: Any = vm.device().process
        # It has read all that it was told; had it been told to begin, it would have.
        assert vm.call(lambda: vm.supervisor.metrics_of(vm.device())) is not None
        assert (queue.take(), process.black_box.queue_counters(0)["popped"]) == (None, 0)
        vm.call(vm.supervisor.resume)
        assert queue.wait(HANGS_AFTER_S) == (5, LENGTH)


def test_while_the_vm_stops(start_vm: StartVm, repetitions: Callable[[int], int]) -> None:
    vm = start_vm()
    queue = vm.transports[0].queues[0]
    for _ in range(repetitions(50)):
        queue.run(100, 8, HANGS_AFTER_S)
        pid = stop_process(vm)
        stopped = in_background(lambda: vm.call(vm.supervisor.quiesce))
        while vm.supervisor.vm_runs:
            pass
        os.kill(pid, signal.SIGKILL)
        stopped()
        wait_for_restart(vm, pid)
        assert state(vm) == "paused"
        vm.call(vm.supervisor.resume)


def test_late_when_the_vm_stops(start_vm: StartVm) -> None:
    vm = start_vm(deadlines=short_deadlines(quiesce_s=DEADLINE_S))
    pid = stop_process(vm)
    vm.call(vm.supervisor.quiesce)
    assert vm.device().is_quiet
    assert wait_for_restart(vm, pid) == f"QUIESCE not answered within {DEADLINE_S:g} s"
    assert state(vm) == "paused"


def test_while_a_reset_waits(start_vm: StartVm, repetitions: Callable[[int], int]) -> None:
    vm = start_vm()
    (transport,) = vm.transports
    for _ in range(repetitions(50)):
        transport.queues[0].run(100, 8, HANGS_AFTER_S)
        pid = stop_process(vm)
        reset = in_background(transport.reset)
        wait_until(vm, lambda: not vm.device().is_reset)
        os.kill(pid, signal.SIGKILL)
        assert reset() is True
        transport.driver_ok()
        transport.queues[0].fill(LENGTH)
        wait_for_restart(vm, pid)


def test_late_at_a_reset(start_vm: StartVm) -> None:
    """SIGKILL then, and nothing works on the rings any more once reset() has returned."""
    vm = start_vm(deadlines=short_deadlines(reset_s=DEADLINE_S))
    (transport,) = vm.transports
    queue = transport.queues[0]
    queue.run(100, 8, HANGS_AFTER_S)
    pid = stop_process(vm)
    queue.offer(1, 2, 3)
    used = queue.used_idx
    assert transport.reset() is True
    assert not Path(f"/proc/{pid}").exists()
    assert wait_for_restart(vm, pid) == f"RESET_DEVICE not answered within {DEADLINE_S:g} s"
    assert vm.call(lambda: vm.supervisor.metrics_of(vm.device())) is not None
    assert (vm.device().state, queue.used_idx) == ("ready", used)


def test_a_reboot_asks_all_devices_at_once(start_vm: StartVm) -> None:
    """Silent ones are waited for together: when the first has been, the others have had their time too."""
    vm = start_vm(rngs=[{}, {}, {}], deadlines=short_deadlines(reset_s=DEADLINE_S))
    for number in range(3):
        vm.transports[number].driver_ok()
        stop_process(vm, number)

    def reboot() -> list[str]:
        vm.supervisor.begin_resets()
        assert vm.supervisor.reset_now(vm.device(0))
        return [vm.device(number).state for number in (1, 2)]

    assert vm.call(reboot) != ["running", "running"]
    assert vm.call(lambda: [vm.supervisor.reset_now(vm.device(number)) for number in (1, 2)]) == [True, True]
    vm.wait_for(lambda: [name for name, _ in vm.events].count("DEVICE_PROCESS_RESTARTED") == 3)
    causes = [data["cause"] for name, data in vm.events if name == "DEVICE_PROCESS_DIED"]
    assert causes == [f"RESET_DEVICE not answered within {DEADLINE_S:g} s"] * 3


def test_a_reset_gets_on_with_a_device_that_stops_the_vm(start_vm: StartVm) -> None:
    """The CPU that waits must be free before the VM can stop."""
    vm = start_vm(on_death="stop")
    pid = stop_process(vm)
    reset = in_background(vm.transports[0].reset)
    wait_until(vm, lambda: not vm.device().is_reset)
    os.kill(pid, signal.SIGKILL)
    assert reset() is True
    vm.wait_for(lambda: bool(vm.pauses))
    assert vm.pauses == ["device rng0: its process is gone: killed by SIGKILL"]


def test_a_process_that_is_slow_to_die(start_vm: StartVm) -> None:
    """Past its deadline driver and QMP are told; nothing follows it before it is reaped; then all is well."""
    vm = start_vm(deadlines=short_deadlines(reap_s=0.0))  # at once: before any process can have ended
    (transport,) = vm.transports
    pid = vm.pid()
    vm.call(vm.device().restart)
    assert transport.reset_is_needed.wait(HANGS_AFTER_S)
    wait_for_restart(vm, pid)
    told = {"id": vm.device().device_id, "reason": "its process can't be killed"}
    assert vm.events[0] == ("DEVICE_NEEDS_RESET", told)
    assert transport.reset() is True
    transport.driver_ok()
    transport.queues[0].fill(LENGTH)
    assert transport.queues[0].run(100, 8, HANGS_AFTER_S) == 100 * LENGTH
    assert not vm.device().is_stuck


def test_of_several_devices_at_once(start_vm: StartVm, repetitions: Callable[[int], int]) -> None:
    """By faults: a zygote that is retired for one still makes what it was asked for by another."""
    vm = start_vm(4, zygote_options=KINDS_OPTION)
    for _ in range(repetitions(50)):
        pids = [vm.pid(number) for number in range(4)]
        vm.events.clear()
        for pid in pids:
            os.kill(pid, signal.SIGSEGV)
        vm.wait_for(lambda: [name for name, _ in vm.events].count("DEVICE_PROCESS_RESTARTED") == 4)
        died = {data["pid"]: data["cause"] for name, data in vm.events if name == "DEVICE_PROCESS_DIED"}
        assert set(died) == set(pids), "one was killed again for another's sake"
        for transport in vm.transports:
            assert transport.queues[0].run(50, 8, HANGS_AFTER_S) == 50 * LENGTH
