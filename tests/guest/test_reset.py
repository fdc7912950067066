"""A reset makes the guest begin anew, whichever way it asks: a clean machine, the same memory and tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.guest.conftest import StartBareMetal
from tests.guest.guest_report import GuestReport
from tests.guest.running_vm import BareMetalVm
from tests.unit.qmp.raw_client import RawClient

pytestmark = pytest.mark.timeout(180)

_TIMES = 3


def _events(client: RawClient) -> list[tuple[str, Any]]:
    """Everything that is said until the VMM hangs up."""
    events = []
    while (message := client.receive()) is not None:
        if "event" in message:
            events.append((message["event"], message.get("data")))
    client.close()
    return events


def _start_and_watch(vm: BareMetalVm) -> RawClient:
    client = vm.connect()
    client.send(b'{"execute": "cont"}')
    return client


def _check_clean(report: GuestReport, boot: int, first: GuestReport) -> None:
    assert report.number("boot") == boot
    assert report.number("in-data") == 0x1234
    assert report.number("in-bss") == 0
    facts = report.facts
    for name, values in first.facts.items():
        if name != "boot":
            assert facts[name] == values, name


@pytest.mark.parametrize("form", ["pvh", "elf", "flat"])
@pytest.mark.parametrize("how", ["acpi", "keyboard", "triple"])
def test_several_in_a_row(start: StartBareMetal, how: str, form: str) -> None:
    vm = start("reset", "-S", "-smp", "4", form=form, append=f"how={how} times={_TIMES} cpus=4", sockets=1)
    client = _start_and_watch(vm)
    first = vm.report.wait_for_seal()
    _check_clean(first, 0, first)
    assert first.number("uart-iir") == 1
    assert first.number("uart-ier") == first.number("uart-lcr") == first.number("uart-scr") == 0
    assert first.number("io-apic-com1") == 0x10000, "masked"
    for boot in range(1, _TIMES + 1):
        _check_clean(vm.next_boot().wait_for_seal(), boot, first)
    vm.expect_silent_end()
    reset = ("RESET", {"guest": True, "reason": "guest-reset"})
    off = ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"})
    assert _events(client) == [("RESUME", None), *[reset] * _TIMES, off]


@pytest.mark.parametrize("how", ["acpi", "keyboard", "triple"])
def test_no_reboot_ends_instead(start: StartBareMetal, how: str) -> None:
    vm = start("reset", "-S", "-no-reboot", append=f"how={how} times=1", sockets=1)
    client = _start_and_watch(vm)
    assert vm.report.wait_for_seal().number("boot") == 0
    vm.expect_silent_end()
    assert _events(client) == [("RESUME", None), ("SHUTDOWN", {"guest": True, "reason": "guest-reset"})]


def test_254_cpus_come_up_again(start: StartBareMetal) -> None:
    vm = start("reset", "-smp", "254", append="how=acpi times=1 cpus=254")
    first = vm.report.wait_for_seal()
    _check_clean(vm.next_boot().wait_for_seal(), 1, first)
    assert first.number("cpus") == 254
    vm.expect_silent_end()


def test_the_hosts_reset_while_the_guest_runs(start: StartBareMetal) -> None:
    vm = start("count", sockets=1)
    client = vm.connect()
    vm.report.wait_for("counter")
    for _ in range(_TIMES):
        assert client.execute("system_reset")["event"] == "RESET"
        assert client.receive() == {"return": {}}
        assert int(vm.next_boot().wait_for("counter"), 16) == 0
    vm.serial.write(b"q")
    vm.expect_power_off()
    client.close()


def test_many_resets_leak_nothing(start: StartBareMetal, repetitions: Callable[[int], int]) -> None:
    times = repetitions(300)
    vm = start("reset", append=f"how=keyboard times={times} ask=1")
    for boot in range(times + 1):
        vm.next_boot().wait_for("boot")
        if boot == 5:  # the allocator's pools have their size by then
            before = _belongings(vm)
        elif boot == times:
            descriptors, threads, private_kib = _belongings(vm)
            assert (descriptors, threads) == before[:2]
            assert private_kib - before[2] < 1024
        vm.serial.write(b"!")
        vm.report.wait_for_seal()
    vm.expect_silent_end()


def _belongings(vm: BareMetalVm) -> tuple[int, int, int]:
    """Descriptors, threads, and the VMM's own memory."""
    process = Path(f"/proc/{vm.process.pid}")
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir())), vm.private_kib()
