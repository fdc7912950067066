"""-S, stop and cont, as the guest lives through them."""

from __future__ import annotations

import time

import pytest

from tests.guest.conftest import StartBareMetal
from tests.guest.running_vm import BareMetalVm

pytestmark = pytest.mark.timeout(180)


def test_it_starts_stopped_and_waits(start: StartBareMetal) -> None:
    vm = start("count", "-S", sockets=1)
    client = vm.connect()
    vm.serial.write(b"?")
    for _ in range(200):
        assert client.execute("query-status")["return"]["status"] == "prelaunch"
    assert vm.serial.waiting() == b""
    assert client.execute("cont")["event"] == "RESUME"
    assert client.receive() == {"return": {}}
    assert int(vm.report.wait_for("counter"), 16) == 0
    assert int(vm.report.wait_for("counter"), 16) > 0, "what was typed before the start wasn't lost"
    vm.serial.write(b"q")
    vm.expect_power_off()
    client.close()


@pytest.mark.parametrize("cpus", [1, 4])
def test_stop_holds_the_guest_and_cont_lets_it_go_on(start: StartBareMetal, cpus: int) -> None:
    vm = start("count", "-smp", str(cpus), sockets=1)
    client = vm.connect()
    vm.report.wait_for("counter")
    counted = 0
    for _ in range(5):
        vm.serial.write(b"?")
        before = int(vm.report.wait_for("counter"), 16)
        assert before > counted
        assert client.execute("stop")["event"] == "STOP"
        assert client.receive() == {"return": {}}
        vm.serial.write(b"?")
        for _ in range(100):
            assert client.execute("query-status")["return"]["status"] == "paused"
        assert vm.serial.waiting() == b""
        assert client.execute("cont")["event"] == "RESUME"
        assert client.receive() == {"return": {}}
        counted = int(vm.report.wait_for("counter"), 16)
        assert counted > before
    vm.serial.write(b"q")
    vm.expect_power_off()
    client.close()


def _clock(vm: BareMetalVm) -> tuple[int, int, int]:
    """What the guest reads next: kvmclock and its TSC, both in ns, and whether it was told of a stop."""
    kvmclock, tsc, stopped = (int(vm.report.wait_for(name), 16) for name in ("time", "tsc-time", "stopped"))
    return kvmclock, tsc, stopped


@pytest.mark.parametrize("cpus", [1, 4])
def test_the_guests_clock_stands_while_the_guest_does(start: StartBareMetal, cpus: int) -> None:
    """With 4 CPUs, the 3 that nobody has started have no clock that could be told of the stop."""
    vm = start("kvmclock", "-smp", str(cpus), sockets=1)
    client = vm.connect()
    last, _, told = _clock(vm)
    assert told == 0
    for _ in range(2):
        began = time.monotonic_ns()
        vm.serial.write(b"?")
        before, tsc_before, told = _clock(vm)
        assert told == 0
        assert before > last
        assert client.execute("stop")["event"] == "STOP"
        assert client.receive() == {"return": {}}
        stood_since = time.monotonic_ns()
        while time.monotonic_ns() < stood_since + 300_000_000:
            assert client.execute("query-status")["return"]["status"] == "paused"
        stood_ns = time.monotonic_ns() - stood_since
        assert client.execute("cont")["event"] == "RESUME"
        assert client.receive() == {"return": {}}
        vm.serial.write(b"?")
        last, tsc_after, told = _clock(vm)
        ran_ns = time.monotonic_ns() - began - stood_ns
        assert told == 1
        # The guest's time goes on from where it was, by no more than it could have run.
        assert 0 < last - before < ran_ns + 1_000_000
        assert tsc_after - tsc_before > 0.99 * stood_ns, "the stop was a real one"
    vm.serial.write(b"q")
    vm.expect_power_off()
    client.close()
