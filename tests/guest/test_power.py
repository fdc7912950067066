"""Power-off, halt, signals and the power button."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.guest.conftest import StartBareMetal
from tests.guest.running_vm import BareMetalVm
from vmm_main.machine.address_map import GED_EVENT_POWER_BUTTON, GED_EVENT_SELECTOR_PORT
from vmm_main.machine.gsi_map import GED_GSI

pytestmark = pytest.mark.timeout(180)


def test_power_off_ends_with_status_0_and_an_event(start: StartBareMetal) -> None:
    vm = start("boot", "-S", sockets=1)
    client = vm.connect()
    client.send(b'{"execute": "cont"}')
    vm.expect_power_off()
    messages = [client.receive() for _ in range(4)]
    assert messages[0]["event"] == "RESUME"
    assert messages[1] == {"return": {}}
    assert messages[2]["event"] == "SHUTDOWN"
    assert messages[2]["data"] == {"guest": True, "reason": "guest-shutdown"}
    assert messages[3] is None
    client.close()


def test_a_halted_guest_stays_and_costs_nothing_until_it_is_ended(start: StartBareMetal) -> None:
    vm = start("halt", sockets=1)
    vm.report.wait_for_seal()
    client = vm.connect()
    (cpu,) = client.execute("query-cpus-fast")["return"]
    before = vm.cpu_ticks(cpu["thread-id"])
    for _ in range(500):
        assert client.execute("query-status")["return"]["status"] == "running"
    assert vm.cpu_ticks(cpu["thread-id"]) - before <= 1
    assert client.execute("quit") == {"return": {}}
    vm.expect_silent_end()
    client.close()


def _halted(start: StartBareMetal, *arguments: str) -> BareMetalVm:
    vm = start("halt", *arguments)
    vm.report.wait_for_seal()
    return vm


def _counting(start: StartBareMetal, *arguments: str) -> BareMetalVm:
    vm = start("count", *arguments)
    vm.report.wait_for("counter")
    return vm


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("begin", [_halted, _counting])
@pytest.mark.parametrize("cpus", [1, 254])
def test_signals_end_it(
    start: StartBareMetal, begin: Callable[..., BareMetalVm], cpus: int, number: signal.Signals
) -> None:
    vm = begin(start, "-smp", str(cpus))
    vm.process.send_signal(number)
    vm.expect_silent_end()


def test_the_power_button_reaches_the_guest(start: StartBareMetal) -> None:
    presses = 3
    options = f"selector={GED_EVENT_SELECTOR_PORT} gsi={GED_GSI} presses={presses}"
    vm = start("button", append=options, sockets=1)
    client = vm.connect()
    for press in range(presses):
        assert int(vm.report.wait_for("waiting"), 16) == press
        assert client.execute("system_powerdown")["event"] == "POWERDOWN"
        assert client.receive() == {"return": {}}
    report = vm.expect_power_off()
    assert report.number("events-before") == 0
    assert report.numbers("events") == [GED_EVENT_POWER_BUTTON] * presses
    assert report.numbers("events-left") == [0] * presses, "reading takes them back"
    assert report.number("interrupts") == presses
    client.close()


@pytest.mark.parametrize("reset", [False, True])
def test_a_press_before_a_reset_is_forgotten(start: StartBareMetal, *, reset: bool) -> None:
    options = f"selector={GED_EVENT_SELECTOR_PORT} gsi={GED_GSI} presses=0"
    vm = start("button", "-S", append=options, sockets=1)
    client = vm.connect()
    assert client.execute("system_powerdown")["event"] == "POWERDOWN"
    assert client.receive() == {"return": {}}
    if reset:
        assert client.execute("system_reset")["event"] == "RESET"
        assert client.receive() == {"return": {}}
    client.send(b'{"execute": "cont"}')
    report = vm.expect_power_off()
    assert report.number("events-before") == (0 if reset else GED_EVENT_POWER_BUTTON)
    client.close()
