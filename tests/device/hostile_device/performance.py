"""One attack from its beginning to its end, and what must be so afterwards."""

from __future__ import annotations

import re
import select
import time
from typing import Any

from tests.device.hostile_device.attack import METRICS, READY, RESET, RUN, STOP, Attack
from tests.device.hostile_device.hostile_vm import BAD, HostileVm
from tests.device.hostile_device.neighbours import Neighbours
from tests.device.hostile_device.qmp_watch import HANGS_AFTER_S
from tests.device.hostile_device.successors import EXPECT_WORK

# What an answer of QMP's may take: main waits a second at most for what a client asks of the hostile device.
QMP_DEADLINE_S = 5.0
_CAUSE_CHARACTERS = 1200
_INT64_MAX = (1 << 63) - 1
_BEFORE_READY = ("READY",)


def perform(vm: HostileVm, neighbours: Neighbours, attack: Attack) -> None:
    """Makes the attack, checks what came of it, and leaves a device that works."""
    answered = len(vm.watch.round_trips_s)
    vm.board.begin(time.monotonic_ns())
    begin(vm, attack)
    _trigger(vm, attack)
    if attack.dies is None:
        expect_answers(vm)
    else:
        cause = vm.qmp.wait_for("DEVICE_PROCESS_DIED", id="bad", action="restart")["cause"]
        check_cause(cause, attack.dies)
        vm.qmp.wait_for("DEVICE_PROCESS_RESTARTED", id="bad")
    if attack.trigger == STOP:
        vm.qmp.ask("cont")
    assert attack.trigger == STOP or not vm.qmp.has_heard("STOP")
    expect_recovery(vm, is_replaced=attack.dies is not None)
    expect_all_well(vm, neighbours, answered)


def expect_all_well(vm: HostileVm, neighbours: Neighbours, answered: int) -> None:
    """The others go on, QMP has answered all along (since its answer of that number), and the VM runs."""
    neighbours.wait_for_turns()
    assert vm.watch.slowest_since(answered) < QMP_DEADLINE_S
    assert vm.qmp.ask("query-status")["status"] == "running"
    check_numbers(vm.qmp.ask("query-blockstats"))


def begin(vm: HostileVm, attack: Attack) -> None:
    """Has the device's present process replaced by one that makes the attack, and its driver ready for it."""
    driver = vm.drivers[BAD]
    driver.reset()
    driver.driver_ok()
    vm.qmp.forget()
    vm.name_next(attack)
    vm.qmp.ask("device_process_restart", id="bad")
    vm.qmp.wait_for("DEVICE_PROCESS_DIED", id="bad", cause="replaced by device_process_restart")
    if attack.when not in _BEFORE_READY:
        vm.qmp.wait_for("DEVICE_PROCESS_RESTARTED", id="bad")


def _trigger(vm: HostileVm, attack: Attack) -> None:
    if attack.trigger == METRICS:
        vm.qmp.answer("query-device-metrics", id="bad")
    elif attack.trigger == STOP:
        vm.qmp.ask("stop")
    elif attack.trigger == RESET:
        vm.drivers[BAD].reset()
        if attack.when.startswith("SET_"):
            vm.drivers[BAD].driver_ok()
    else:
        assert attack.trigger in ("nothing", RUN)
    assert attack.trigger != STOP or attack.when != READY


def expect_answers(vm: HostileVm) -> None:
    """The hostile process lives, and does what it is asked for."""
    pid = vm.pid_or_none()
    metrics = vm.qmp.ask("query-device-metrics", id="bad")
    check_numbers(metrics["queues"])
    assert vm.pid_or_none() == pid
    assert not vm.qmp.has_heard("DEVICE_PROCESS_DIED")


def check_numbers(answer: Any) -> None:
    """Every number in an answer is one that QMP's clients can read, whatever a process has counted."""
    if isinstance(answer, dict | list):
        for each in answer.values() if isinstance(answer, dict) else answer:
            check_numbers(each)
    elif isinstance(answer, int):
        assert 0 <= answer <= _INT64_MAX


def check_cause(cause: str, pattern: str) -> None:
    """A cause is what was expected, and may be shown to people."""
    assert re.fullmatch(pattern, cause), f"{cause!r} isn't {pattern!r}"
    assert cause.isprintable()
    assert len(cause) < _CAUSE_CHARACTERS


def expect_recovery(vm: HostileVm, *, is_replaced: bool = False) -> None:
    """A driver that resets the device has a good one again, in a process of its own kind, and it works.

    Args:
        vm: The VM.
        is_replaced: Whether there is such a process already.
    """
    if not is_replaced:
        vm.qmp.forget()
        vm.qmp.ask("device_process_restart", id="bad")
        vm.qmp.wait_for("DEVICE_PROCESS_RESTARTED", id="bad")
    driver = vm.drivers[BAD]
    driver.reset()
    driver.driver_ok()
    expires = time.monotonic() + HANGS_AFTER_S
    while "error" in vm.qmp.answer("query-device-metrics", id="bad"):  # a death of before may be told late
        assert time.monotonic() < expires, f"the device is {vm.state()}"
        vm.qmp.wait_a_moment()
    assert vm.state() == "running"
    EXPECT_WORK[vm.kind](vm)


def expect_descriptors(vm: HostileVm, descriptors: int) -> None:
    """Main has no more open than before; the last zygote's pidfd may be a moment late, or the old one's."""
    expires = time.monotonic() + HANGS_AFTER_S
    while vm.descriptors() > descriptors:
        assert time.monotonic() < expires, f"{vm.descriptors()} descriptors instead of {descriptors}"
        select.select([], [], [], 0.001)
