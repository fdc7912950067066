"""A device process dies while a guest uses the device: the guest goes on, and QMP's clients are told."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.guest.conftest import StartBareMetal
from tests.unit.qmp.raw_client import RawClient

pytestmark = pytest.mark.timeout(300)

RNG = ("-object", "rng-random,id=r0,filename=/dev/zero", "-device", "virtio-rng-device,rng=r0,id=rng0")
NO_END = 1 << 60


@pytest.fixture
def client(start: StartBareMetal) -> Iterator[RawClient]:
    """QMP of a VM whose guest reads without end."""
    vm = start("entropy", *RNG, append=f"length={NO_END} piece=64", sockets=1)
    client = vm.connect()
    yield client
    client.execute("quit")
    client.close()
    vm.expect_end()


def process(client: RawClient) -> dict[str, Any]:
    (found,) = client.execute("query-device-processes")["return"]
    return dict(found)


def wait_until_it_reads(client: RawClient) -> None:
    """Until the present process has answered some of the guest's requests."""
    while process(client)["state"] != "running":
        pass
    while client.execute("query-device-metrics", id="rng0")["return"]["metrics"]["requests"] < 10:
        pass


def expect_events(client: RawClient, pid: int, cause: str, restarts: int) -> None:
    died = client.receive()
    assert died["event"] == "DEVICE_PROCESS_DIED"
    told = died["data"]["cause"]
    assert died["data"] == {"id": "rng0", "pid": pid, "cause": told, "action": "restart"}
    assert told.startswith(cause)
    restarted = client.receive()
    assert restarted["event"] == "DEVICE_PROCESS_RESTARTED"
    assert restarted["data"] == {"id": "rng0", "pid": restarted["data"]["pid"], "restarts": restarts}
    now = process(client)
    assert now["pid"] == restarted["data"]["pid"] != pid
    assert (now["restarts"], now["last-death"]) == (restarts, told)


@pytest.mark.parametrize(
    ("number", "cause"),
    [(signal.SIGKILL, "killed by SIGKILL"), (signal.SIGSEGV, "died of SIGSEGV in the control thread at 0x")],
    ids=["SIGKILL", "SIGSEGV"],
)
def test_it_is_replaced_and_the_guest_reads_on(client: RawClient, number: int, cause: str) -> None:
    for restarts in range(1, 4):
        wait_until_it_reads(client)
        pid = process(client)["pid"]
        os.kill(pid, number)
        expect_events(client, pid, cause, restarts)
    wait_until_it_reads(client)


def test_the_operator_replaces_it(client: RawClient) -> None:
    wait_until_it_reads(client)
    pid = process(client)["pid"]
    assert client.execute("device_process_restart", id="rng0") == {"return": {}}
    died = client.receive()
    assert (died["event"], died["data"]["pid"], died["data"]["action"]) == (
        "DEVICE_PROCESS_DIED",
        pid,
        "restart",
    )
    assert client.receive()["event"] == "DEVICE_PROCESS_RESTARTED"
    wait_until_it_reads(client)
