"""A device process that says what it mustn't: it ends, the VM goes on, and main is none the bigger for it."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.device.supervisor.conftest import StartVm
from tests.device.supervisor.driver_load import DriverLoad
from tests.device.supervisor.kinds_in_turn import KINDS_OPTION, KindsInTurn
from tests.device.supervisor.staged_kinds import SAYINGS, staged_kind
from tests.device.supervisor.test_deaths_in_life import wait_until

# What follows the READY that each of them says first, as a pattern of the cause of death.
CAUSES = {
    "no map": "sent a malformed message: rng0: .*",
    "half a map": "sent a malformed message: rng0: .*",
    "too much": "sent a malformed message: rng0: .*",
    "unknown": r"sent a malformed message: rng0: .*NONSENSE\\n.*",
    "unknown key": "sent a malformed message: rng0: .*unknown key .*more.*",
    "ready twice": "sent READY while running",
    "certified late": "sent BIRTH_CERTIFICATE while running",
    "an answer to nothing": "sent RESET_DONE as an answer to nothing",
    "an answer without a number": "sent QUIESCED while running",
    "other config": "changed the size of its config space",
    "failed": r"said: first\\nsecond \\x1b\[2J",
    "flood": "sent more than 200 messages that nobody had asked for",
}


def test_each_has_its_cause() -> None:
    assert set(CAUSES) == {*SAYINGS, "flood"}


@pytest.mark.parametrize("saying", CAUSES)
def test_the_process_ends_and_not_the_vm(start_vm: StartVm, saying: str) -> None:
    vm = start_vm(zygote_options=KINDS_OPTION)
    kinds = KindsInTurn(vm)
    with DriverLoad(vm) as load:
        kinds.restart_as(staged_kind("ready", saying))
        vm.wait_for(lambda: [name for name, _ in vm.events].count("DEVICE_PROCESS_RESTARTED") == 2)
        load.wait_for_progress()
    cause = [data["cause"] for name, data in vm.events if name == "DEVICE_PROCESS_DIED"][1]
    assert re.fullmatch(CAUSES[saying], cause)
    assert cause.isprintable()
    assert len(cause) < 500


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _memory_kib() -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line]
    return int(line.split()[1])


def test_main_does_not_grow(start_vm: StartVm, repetitions: Callable[[int], int]) -> None:
    """By deaths, nor by floods that come before them."""
    vm = start_vm(zygote_options=KINDS_OPTION)
    kinds = KindsInTurn(vm)

    def round_of_deaths() -> None:
        for way in ("flood", "too much", "refused"):
            vm.events.clear()
            kinds.restart_as(staged_kind("ready", way))
            vm.wait_for(lambda: [name for name, _ in vm.events].count("DEVICE_PROCESS_RESTARTED") == 2)
            vm.wait_for_state("running")

    for _ in range(5):
        round_of_deaths()
    descriptors, memory_kib = _descriptors(), _memory_kib()
    rounds = repetitions(300)
    for _ in range(rounds):
        round_of_deaths()
    for _ in range(100):  # the last zygote's pidfd comes when the spawner has told its pid
        if vm.call(_descriptors) <= descriptors:
            break
    assert vm.call(_descriptors) <= descriptors
    assert _memory_kib() - memory_kib < 4096, f"in {rounds} rounds"


def test_silence_is_found_when_it_is_asked(start_vm: StartVm) -> None:
    """Metrics are waited for a moment only; the process that doesn't answer at all is ended later."""
    vm = start_vm()
    vm.supervisor.deadlines.quiesce_s = 0.2
    pid = vm.pid()
    os.kill(pid, signal.SIGSTOP)
    assert vm.call(lambda: vm.supervisor.metrics_of(vm.device())) is None
    vm.wait_for(lambda: len(vm.events) == 2)
    assert vm.events[0][1]["cause"] == "GET_METRICS not answered within 0.2 s"


def test_who_dies_when_it_is_asked_is_not_waited_for(start_vm: StartVm) -> None:
    """Nor is its successor, which knows of no question."""
    vm = start_vm()
    vm.supervisor.deadlines.metrics_s = 3600.0
    pid = vm.pid()
    os.kill(pid, signal.SIGSTOP)
    dead = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
    dead.start()
    assert vm.call(lambda: vm.supervisor.metrics_of(vm.device())) is None
    dead.join()
    vm.wait_for(lambda: len(vm.events) == 2)
    vm.wait_for_state("running")
    assert vm.call(lambda: vm.supervisor.metrics_of(vm.device())) is not None


def test_silence_is_waited_for_once(start_vm: StartVm) -> None:
    """Who asks next is told at once, until the process answers, or another is in its place."""
    vm = start_vm()
    vm.supervisor.deadlines.quiesce_s = 3600.0

    def answers() -> bool:
        return vm.supervisor.metrics_of(vm.device()) is not None

    for end in (signal.SIGCONT, signal.SIGKILL):
        vm.supervisor.deadlines.metrics_s = 0.2
        os.kill(vm.pid(), signal.SIGSTOP)
        assert not vm.call(answers)
        vm.supervisor.deadlines.metrics_s = 3600.0
        for _ in range(8):
            assert not vm.call(answers)
        os.kill(vm.pid(), end)
        wait_until(vm, answers)
