"""-S, stop and cont, as the guest lives through them."""

from __future__ import annotations

import pytest

from tests.guest.conftest import StartBareMetal

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
