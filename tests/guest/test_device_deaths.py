"""Device processes that die while a guest uses them: what the guest, QMP's clients and the host see of it."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.guest.conftest import StartBareMetal
from tests.guest.running_vm import DEADLINE_S, BareMetalVm
from tests.unit.qmp.raw_client import RawClient

pytestmark = pytest.mark.timeout(300)

ENDLESS = 1 << 60
PIECE = 64
# None: its operator replaces it.
ENDS = (
    (signal.SIGKILL, "killed by SIGKILL"),
    (signal.SIGSEGV, "killed by SIGSEGV, sent by another process"),
    (signal.SIGABRT, "killed by SIGABRT, sent by another process"),
    (None, "replaced by device_process_restart"),
)

StartReading = Callable[..., "Reading"]


class Reading:
    """A guest that reads from the rng, and a QMP client that keeps the events apart from the answers."""

    def __init__(
        self,
        start: StartBareMetal,
        length: int = ENDLESS,
        policy: str = "",
        devices: int = 1,
        deadlines: str | None = None,
    ) -> None:
        device = f"virtio-rng-device,rng=r0{policy}"
        options = ["-object", "rng-random,id=r0,filename=/dev/zero"]
        for number in range(devices):
            options += ["-device", f"{device},id=rng{number}"]
        append = f"length={length} piece={PIECE}"
        self.vm: BareMetalVm = start("entropy", *options, append=append, sockets=1, deadlines=deadlines)
        self.client: RawClient = self.vm.connect()
        self.events: list[dict[str, Any]] = []
        assert self.vm.report.wait_for("ready") == "0x1"

    def answer(self, command: str, /, **arguments: Any) -> Any:
        """The answer to a command, whatever it is."""
        answer = self.client.execute(command, **arguments)
        assert answer is not None, "the VMM hung up"
        while "event" in answer:
            self.events.append(answer)
            answer = self.client.receive()
        return answer

    def ask(self, command: str, /, **arguments: Any) -> Any:
        """What a command returns."""
        return self.answer(command, **arguments)["return"]

    def wait_for_event(self, name: str) -> dict[str, Any]:
        """The data of the next event of that name; it is taken, with all that came before it."""
        while True:
            if not self.events:
                self.events.append(self.client.receive())
            event = self.events.pop(0)
            if event["event"] == name:
                data: dict[str, Any] = event.get("data", {})
                return data

    def device(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("query-device-processes")[0]
        return found

    def wait_for_requests(self, count: int) -> None:
        """Waits until the current process has completed so many."""
        expires = time.monotonic() + DEADLINE_S
        completed = 0
        while completed < count:
            assert time.monotonic() < expires, "the guest gets nothing"
            answer = self.answer("query-device-metrics", id="rng0")
            if "return" in answer:  # otherwise the process has just died
                completed = answer["return"]["queues"][0]["completed"]


@pytest.fixture
def read(start: StartBareMetal) -> Iterator[StartReading]:
    """Starts a guest that reads."""
    with ExitStack() as stack:

        def begin(**options: Any) -> Reading:
            reading = Reading(start, **options)
            stack.callback(reading.client.close)
            return reading

        yield begin


def test_the_guest_sees_no_error(read: StartReading) -> None:
    """Killed by its operator, by a signal, and by a fault, while the guest reads: each byte arrives."""
    reading = read(length=PIECE * 100_000)
    for restarts, (number, cause) in enumerate(ENDS * 2, start=1):
        reading.wait_for_requests(10)
        pid = reading.device()["pid"]
        if number is None:
            assert reading.ask("device_process_restart", id="rng0") == {}
        else:
            os.kill(pid, number)
        died = reading.wait_for_event("DEVICE_PROCESS_DIED")
        assert died == {"id": "rng0", "pid": pid, "cause": died["cause"], "action": "restart"}
        assert died["cause"].startswith(cause)
        restarted = reading.wait_for_event("DEVICE_PROCESS_RESTARTED")
        now = reading.device()
        assert restarted == {"id": "rng0", "pid": now["pid"], "restarts": restarts}
        assert now["pid"] != pid
        assert (now["state"], now["restarts"]) == ("running", restarts)
        assert now["last-death"] == died["cause"]
    reading.wait_for_requests(10)
    reading.ask("quit")
    reading.client.close()
    reading.vm.expect_end()


def test_what_the_guest_has_got_in_the_end(read: StartReading) -> None:
    length = PIECE * 1500
    reading = read(length=length)
    kills = 0
    while kills < 5:
        reading.wait_for_requests(5)
        os.kill(reading.device()["pid"], signal.SIGKILL)
        reading.wait_for_event("DEVICE_PROCESS_RESTARTED")
        kills += 1
    reading.client.close()
    report = reading.vm.report
    report.wait_for_seal()
    assert report.number("received") == report.number("zeros") == length
    assert report.number("answers") == length // PIECE
    assert report.number("spilt") == 0
    assert report.number("status") == 0xF
    assert reading.vm.serial.read_to_end() == b""
    reading.vm.expect_end()


def test_stop_and_cont_while_it_reads(read: StartReading) -> None:
    reading = read()
    for _ in range(5):
        reading.wait_for_requests(10)
        reading.ask("stop")
        assert reading.device()["state"] == "paused"
        before = reading.ask("query-device-metrics", id="rng0")
        pid = reading.device()["pid"]
        assert reading.ask("query-device-metrics", id="rng0") == before
        os.kill(pid, signal.SIGKILL)
        reading.wait_for_event("DEVICE_PROCESS_RESTARTED")
        assert reading.device()["state"] == "paused"
        reading.ask("cont")
    reading.wait_for_requests(10)


def test_system_reset_while_it_reads(read: StartReading) -> None:
    """Also with a process that has just been killed, or stands still."""
    reading = read()
    for number in (None, signal.SIGKILL, signal.SIGSEGV):
        reading.wait_for_requests(10)
        if number is not None:
            os.kill(reading.device()["pid"], number)
        reading.ask("system_reset")
        reading.vm.next_boot()
        assert reading.vm.report.wait_for("ready") == "0x1"
    reading.wait_for_requests(10)


def test_a_process_that_stands_still_is_killed_for_a_reset(read: StartReading) -> None:
    reading = read(deadlines="reset_s=0.3")
    reading.wait_for_requests(10)
    os.kill(reading.device()["pid"], signal.SIGSTOP)
    reading.ask("system_reset")
    died = reading.wait_for_event("DEVICE_PROCESS_DIED")
    assert died["cause"] == "RESET_DEVICE not answered within 0.3 s"
    reading.vm.next_boot()
    assert reading.vm.report.wait_for("ready") == "0x1"
    reading.wait_for_requests(10)


def test_a_process_that_stands_still_gives_no_metrics(read: StartReading) -> None:
    reading = read(deadlines="metrics_s=0.3")
    pid = reading.device()["pid"]
    os.kill(pid, signal.SIGSTOP)
    error = reading.answer("query-device-metrics", id="rng0")["error"]["desc"]
    assert error == (
        f"Device 'rng0' hasn't answered within 0.3 s: its process {pid} hangs, or is short of CPU"
    )
    os.kill(pid, signal.SIGCONT)


def test_on_death_stop(read: StartReading) -> None:
    reading = read(policy=",on-death=stop")
    reading.wait_for_requests(10)
    os.kill(reading.device()["pid"], signal.SIGKILL)
    assert reading.wait_for_event("DEVICE_PROCESS_DIED")["action"] == "stop"
    reason = "device rng0: its process is gone: killed by SIGKILL"
    assert reading.wait_for_event("STOP") == {"reason": reason}
    assert reading.ask("query-status")["status"] == "paused"
    assert reading.device()["state"] == "stopped"
    reading.ask("cont")
    reading.wait_for_event("DEVICE_PROCESS_RESTARTED")
    reading.wait_for_requests(10)


def test_on_death_needs_reset(read: StartReading) -> None:
    reading = read(policy=",on-death=needs-reset")
    reading.wait_for_requests(10)
    os.kill(reading.device()["pid"], signal.SIGKILL)
    assert reading.wait_for_event("DEVICE_NEEDS_RESET")["reason"] == "its process is gone: killed by SIGKILL"
    assert reading.device()["state"] == "needs-reset"
    reading.ask("system_reset")
    reading.vm.next_boot()
    assert reading.vm.report.wait_for("ready") == "0x1"
    reading.wait_for_requests(10)


@pytest.mark.parametrize("devices", [1, 4])
def test_main_killed_while_the_guest_reads(read: StartReading, devices: int) -> None:
    reading = read(devices=devices)
    reading.wait_for_requests(10)
    main = reading.vm.process.pid
    family = Path(f"/proc/{main}/task/{main}/children").read_text(encoding="ascii").split()
    assert len(family) == devices + 2
    pidfds = [os.pidfd_open(int(pid)) for pid in family]
    try:
        reading.vm.process.kill()
        until = time.monotonic() + 1
        for pidfd in pidfds:
            assert select.select([pidfd], [], [], max(0.0, until - time.monotonic()))[0], "it outlives main"
    finally:
        for pidfd in pidfds:
            os.close(pidfd)
