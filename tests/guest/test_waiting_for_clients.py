"""A VM whose sockets wait for a client (no nowait): it says so, and ends as asked while it waits."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.running_vm import DEADLINE_S, RunningVm

pytestmark = pytest.mark.timeout(180)

StartWaiting = Callable[..., RunningVm]
ENDING = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture
def wait(program: str, images: BareMetalImages, tmp_path: Path) -> Iterator[StartWaiting]:
    """Starts a VM with those options, and comes back when it has said that it waits."""
    with ExitStack() as stack:

        def start(*options: str, says: str) -> RunningVm:
            vm = RunningVm(program, tmp_path, images.form("pvh"), *options, sockets=0)
            stack.callback(vm.close)
            assert vm.process.stderr is not None
            assert vm.process.stderr.readline().decode() == f"bulkhead: {says}, as nowait isn't given\n"
            return vm

        yield start


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_serial_port(wait: StartWaiting, tmp_path: Path, number: signal.Signals) -> None:
    path = str(tmp_path / "console")
    log = tmp_path / "log"
    vm = wait(
        *("-D", str(log), "-serial", f"socket,path={path},server"),
        says=f"-serial socket,path={path}: waiting for a client",
    )
    vm.process.send_signal(number)
    vm.expect_end(0)
    assert vm.errors() == ""
    assert not os.path.exists(path)
    assert "waiting for a client" in log.read_text()
    assert f"ended by {number.name}" in log.read_text()


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_monitor(wait: StartWaiting, tmp_path: Path, number: signal.Signals) -> None:
    path = str(tmp_path / "monitor")
    vm = wait("-qmp", f"unix:{path},server", says=f"-qmp unix:{path}: the guest waits for a client")
    vm.process.send_signal(number)
    vm.expect_end(0)
    assert vm.errors() == ""
    assert not os.path.exists(path)


def test_who_waits_for_a_daemon_hears_that_there_is_no_vm(
    program: str, images: BareMetalImages, tmp_path: Path
) -> None:
    path = str(tmp_path / "console")
    options = ["-daemonize", "-pidfile", str(tmp_path / "pid"), "-serial", f"socket,path={path},server"]
    with subprocess.Popen(
        [program, "-kernel", images.form("pvh"), *options], stderr=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stderr is not None
        assert "waiting for a client" in caller.stderr.readline()
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        assert caller.wait(DEADLINE_S) == 1
        assert caller.stderr.read() == "bulkhead: ended by SIGTERM before the VM was started\n"


def test_the_log_calls_a_socket_the_same_with_and_without_a_client(
    wait: StartWaiting, tmp_path: Path
) -> None:
    path = str(tmp_path / "console")
    log = tmp_path / "log"
    vm = wait(
        *("-S", "-D", str(log), "-serial", f"socket,path={path},server"),
        says=f"-serial socket,path={path}: waiting for a client",
    )
    vm.wait_for_listener(path).close()
    while "the client has left" not in log.read_text():
        assert vm.process.poll() is None
    said = [line.split(" chardev: ")[1] for line in log.read_text().splitlines() if " chardev: unix:" in line]
    assert said == [f"unix:{path},server=on: connected", f"unix:{path},server=on: the client has left"]
