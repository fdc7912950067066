"""The entropy device from end to end: a driver in a guest, and the process that reads from the host."""

from __future__ import annotations

import os
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.conftest import StartBareMetal
from tests.guest.running_vm import BareMetalVm

pytestmark = pytest.mark.timeout(300)

_MASK = (1 << 64) - 1


def _start(start: StartBareMetal, source: str, append: str, *arguments: str, sockets: int = 0) -> BareMetalVm:
    device = ("-object", f"rng-random,id=r0,filename={source}", "-device", "virtio-rng-device,rng=r0,id=rng0")
    return start("entropy", *device, *arguments, append=append, sockets=sockets)


def _sum(data: bytes) -> int:
    total = 0
    for byte in data:
        total = total * 31 + byte & _MASK
    return total


@pytest.fixture
def source_with_known_bytes() -> Iterator[tuple[int, str]]:
    """A character device whose bytes the test provides: (descriptor to write them to, path to read them)."""
    writing_fd, reading_fd = os.openpty()
    tty.setraw(reading_fd)
    yield writing_fd, os.ttyname(reading_fd)
    os.close(writing_fd)
    os.close(reading_fd)


def test_a_guest_gets_the_bytes_of_the_hosts_device(
    start: StartBareMetal, source_with_known_bytes: tuple[int, str]
) -> None:
    writing_fd, path = source_with_known_bytes
    data = os.urandom(1500)
    assert os.write(writing_fd, data) == len(data)
    report = _start(start, path, f"length={len(data)} piece=100").expect_power_off()
    assert report.number("device-id") == 4
    assert report.number("offered") == 1 << 28 | 1 << 29 | 1 << 32
    assert report.number("negotiated") == report.number("ready") == 1
    assert report.number("received") == len(data)
    assert report.number("sum") == _sum(data)
    assert report.number("spilt") == 0
    assert report.number("fresh") == 0
    assert report.number("interrupted") == 1
    assert report.number("status") == 0xF


def test_a_source_without_end(start: StartBareMetal) -> None:
    report = _start(start, "/dev/zero", "length=4096 piece=1024").expect_power_off()
    assert report.number("received") == report.number("zeros") == 4096
    assert report.number("answers") == 4
    assert report.number("spilt") == 0


def test_two_guests_get_different_bytes(start: StartBareMetal) -> None:
    sums = {
        _start(start, "/dev/urandom", "length=512 piece=64").expect_power_off().number("sum")
        for _ in range(2)
    }
    assert len(sums) == 2


def test_the_driver_resets_a_running_device(start: StartBareMetal) -> None:
    resets = 20
    report = _start(start, "/dev/zero", f"length=256 piece=128 resets={resets}").expect_power_off()
    assert report.numbers("negotiated") == report.numbers("ready") == [1] * (resets + 1)
    assert report.numbers("received") == [256] * (resets + 1)
    assert report.numbers("status") == [0xF] * (resets + 1)
    assert report.number("answers") == 2 * (resets + 1)
    assert report.number("zeros") == 256 * (resets + 1)


def test_the_driver_resets_while_the_device_is_asked(start: StartBareMetal) -> None:
    """A query waits for the device, and calls of the vCPU's are ready in the same round of main's loop."""
    resets = 50
    vm = _start(start, "/dev/zero", f"length=128 piece=128 resets={resets}", sockets=1)
    client = vm.connect()
    answers = 0
    while (answer := client.execute("query-device-metrics", id="rng0")) is not None:
        answers += "return" in answer
    client.close()
    assert answers > 10
    assert vm.expect_power_off().numbers("received") == [128] * (resets + 1)


def test_the_host_resets_the_machine_while_the_guest_reads(start: StartBareMetal) -> None:
    endless = 1 << 60
    vm = _start(start, "/dev/zero", f"length={endless} piece=64", sockets=1)
    client = vm.connect()
    for _ in range(3):
        assert vm.report.wait_for("fresh") == "0x0"
        assert vm.report.wait_for("ready") == "0x1"
        assert client.execute("system_reset")["event"] == "RESET"
        assert client.receive() == {"return": {}}
        vm.next_boot()
    assert vm.report.wait_for("ready") == "0x1"
    client.execute("quit")
    client.close()
    vm.expect_end()
    assert vm.errors() == ""


def test_a_source_that_ends_is_told_by_its_name(start: StartBareMetal, tmp_path: Path) -> None:
    """To QMP as the user named it, without Bulkhead's own file names, which are for the log."""
    log = tmp_path / "log"
    vm = _start(start, "/dev/null", "length=64", "-S", "-D", str(log), sockets=1)
    client = vm.connect()
    message = client.execute("cont")
    while message.get("event") != "DEVICE_PROCESS_DIED":
        message = client.receive()
    source = "-object rng-random,id=r0,filename=/dev/null"
    assert message["data"]["cause"] == f"ended with status 70: said: queue 0: No data available, of {source}"
    assert "HostFaultError: queue 0: No data available (at control_thread.py:" in log.read_text()
    client.close()
