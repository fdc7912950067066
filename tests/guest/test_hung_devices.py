"""Processes that hang while a guest works and nobody asks them for anything; and a main that stands still."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.guest.conftest import StartBareMetal
from tests.guest.running_vm import DEADLINE_S
from tests.unit.qmp.raw_client import RawClient

pytestmark = pytest.mark.timeout(300)

HANG_S = 0.5
DEADLINES = f"beat_s=0.05,hang_s={HANG_S}"
CAUSE = f"hung: its control thread has answered nothing for {HANG_S:g} s"


def device(client: RawClient) -> dict[str, Any]:
    found: dict[str, Any] = client.execute("query-device-processes")["return"][0]
    return found


def expect_restart(client: RawClient, pid: int) -> None:
    """The next two events are those of a process that was found to hang."""
    died, restarted = client.receive(), client.receive()
    assert died["event"] == "DEVICE_PROCESS_DIED"
    assert (died["data"]["pid"], died["data"]["cause"]) == (pid, CAUSE)
    assert restarted["event"] == "DEVICE_PROCESS_RESTARTED"
    assert device(client)["last-death"] == CAUSE


def test_a_disk_that_hangs_while_the_guest_writes(start: StartBareMetal, tmp_path: Path) -> None:
    """Each write is flushed and read back; the guest sees no error."""
    image = tmp_path / "image"
    image.write_bytes(os.urandom(128 << 10))
    disk = ("-drive", f"id=d0,file={image}", "-device", "virtio-blk-device,drive=d0,id=blk0")
    vm = start("disk", *disk, append="rounds=300", sockets=1, deadlines=DEADLINES)
    client = vm.connect()
    vm.report.wait_for("round")
    pid = device(client)["pid"]
    os.kill(pid, signal.SIGSTOP)
    expect_restart(client, pid)
    report = vm.report.wait_for_seal()
    assert (report.number("rounds-wrong"), report.number("errors")) == (0, 0)
    client.close()
    vm.expect_end()


def test_an_rng_that_hangs_and_a_main_that_stood_still(start: StartBareMetal) -> None:
    """What main didn't see because it was stopped itself is nobody's fault."""
    rng = ("-object", "rng-random,id=r0,filename=/dev/zero", "-device", "virtio-rng-device,rng=r0,id=rng0")
    vm = start("entropy", *rng, append=f"length={1 << 60} piece=64", sockets=1, deadlines=DEADLINES)
    client = vm.connect()
    assert vm.report.wait_for("ready") == "0x1"
    pid = device(client)["pid"]
    for stopped in ((vm.process.pid,), (pid, vm.process.pid)):
        for each in stopped:
            os.kill(each, signal.SIGSTOP)
        select.select([], [], [], 2 * HANG_S)  # time that must pass
        for each in reversed(stopped):
            os.kill(each, signal.SIGCONT)
        assert device(client)["pid"] == pid
    os.kill(pid, signal.SIGSTOP)
    expect_restart(client, pid)
    assert device(client)["restarts"] == 1
    client.execute("quit")
    client.close()
    vm.expect_end()


def stop_process(pid: int) -> None:
    """SIGSTOP, and it has taken it: what it is asked from now on it doesn't answer."""
    os.kill(pid, signal.SIGSTOP)
    expires = time.monotonic() + DEADLINE_S
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    while any((each / "stat").read_text().rpartition(")")[2].split()[0] != "T" for each in threads):
        assert time.monotonic() < expires, "it doesn't stop"
        os.sched_yield()


def answer(client: RawClient) -> Any:
    """The next message that isn't an event."""
    while "event" in (message := client.receive()):
        pass
    return message


@pytest.mark.parametrize("command", ["stop", "system_reset"])
def test_other_clients_are_answered_while_main_waits(start: StartBareMetal, command: str) -> None:
    """What they ask, that is; what changes something comes after what main is at. Each keeps its order."""
    rng = ("-object", "rng-random,id=r0,filename=/dev/zero", "-device", "virtio-rng-device,rng=r0,id=rng0")
    vm = start("entropy", *rng, append=f"length={1 << 60} piece=64", sockets=1, deadlines="hang_s=600")
    client, other, third = vm.connect(), vm.connect(), vm.connect()
    assert vm.report.wait_for("ready") == "0x1"
    stop_process(device(client)["pid"])
    client.send(b'{"execute": "%s"} {"execute": "query-name"}' % command.encode())
    third.send(
        b'{"execute": "device_process_restart", "arguments": {"id": "nothing"}} {"execute": "query-name"}'
    )
    for _ in range(20):
        assert other.execute("query-status")["return"]["status"] in ("running", "paused")
    assert other.execute("query-blockstats")["return"] == []  # processes count where main can see it
    new = vm.connect()
    assert new.execute("query-status")["return"]["status"] in ("running", "paused")
    other.send(b'{"execute": "cont"}' if command == "stop" else b'{"execute": "stop"}')
    assert select.select([client.socket, other.socket], [], [], 0)[0] == []
    assert answer(client) == {"return": {}}
    assert "return" in answer(client)
    assert answer(other) == {"return": {}}
    assert answer(third)["error"]["class"] == "DeviceNotFound"
    assert "return" in answer(third)
    other.send(b'{"execute": "query-status"}')
    assert answer(other)["return"]["running"] is (command == "stop")
    for each in (other, third, new):
        each.close()
    client.execute("quit")
    client.close()
    vm.expect_end()


def test_a_guest_doesnt_start_while_main_waits(start: StartBareMetal, tmp_path: Path) -> None:
    """The last client that it waits for comes in the middle of a query that a silent device holds up."""
    awaited = str(tmp_path / "awaited")
    rng = ("-object", "rng-random,id=r0,filename=/dev/zero", "-device", "virtio-rng-device,rng=r0,id=rng0")
    options = (*rng, "-qmp", f"unix:{awaited},server")
    vm = start("entropy", *options, append="length=256 piece=64", sockets=1, deadlines="metrics_s=5")
    client = vm.connect()
    pid = device(client)["pid"]
    stop_process(pid)
    client.send(b'{"execute": "query-device-metrics", "arguments": {"id": "rng0"}}')
    with closing(RawClient(awaited)) as last:
        last.negotiate()
        assert last.execute("query-status")["return"]["status"] == "prelaunch"
        assert select.select([client.socket], [], [], 0)[0] == []
    os.kill(pid, signal.SIGCONT)
    assert "return" in answer(client)
    assert vm.report.wait_for_seal().number("received") == 256
    client.close()
    vm.expect_end()


def test_a_deadline_that_is_none(start: StartBareMetal) -> None:
    rng = ("-object", "rng-random,id=r0,filename=/dev/zero", "-device", "virtio-rng-device,rng=r0,id=rng0")
    vm = start("boot", *rng, deadlines="beat_s=1,hang_s=soon")
    assert vm.process.wait(DEADLINE_S) == 1
    assert vm.errors() == "bulkhead: BULKHEAD_DEADLINES: hang_s=soon: allowed are 0.001 to 86400 seconds\n"
