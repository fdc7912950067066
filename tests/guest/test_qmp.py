"""QMP of a real VM: its guests are a few bytes of machine code, put at 16 MiB as a flat image."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.guest.running_vm import DEADLINE_S, RunningVm
from tests.unit.qmp.raw_client import RawClient
from vmm_main.machine.address_map import RESET_PORT, SLEEP_CONTROL_PORT, SLEEP_TYPE_S5

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(180)

_NOP = b"\x90"
# pause; jmp back to it
_SPIN = b"\xf3\x90\xeb\xfc"


def _out(port: int, value: int) -> bytes:
    """Machine code: mov dx, port; mov al, value; out dx, al."""
    return b"\x66\xba" + port.to_bytes(2, "little") + b"\xb0" + bytes([value]) + b"\xee"


_POWER_OFF = _out(SLEEP_CONTROL_PORT, 0x20 | SLEEP_TYPE_S5 << 2) + _SPIN
_RESET = _out(RESET_PORT, 1) + _SPIN


@pytest.fixture
def run_vm(program: str, tmp_path: Path) -> Iterator[Callable[..., RunningVm]]:
    """Starts VMs that are gone after the test."""
    with ExitStack() as stack:

        def run(code: bytes = _SPIN, *arguments: str, sockets: int = 1) -> RunningVm:
            kernel = tmp_path / "guest.bin"
            kernel.write_bytes(code + _NOP * 4096)
            vm = RunningVm(program, tmp_path, kernel, *arguments, sockets=sockets)
            stack.callback(vm.close)
            return vm

        yield run


def _receive_until_end(client: RawClient) -> list[Any]:
    messages = []
    while (message := client.receive()) is not None:
        messages.append(message)
    client.close()
    return messages


def test_states_and_events_of_a_vm_that_starts_stopped(run_vm: Callable[..., RunningVm]) -> None:
    vm = run_vm(_SPIN, "-S", "-smp", "2", "-name", "qmp-test")
    client = vm.connect()
    assert client.execute("query-status")["return"]["status"] == "prelaunch"
    assert client.execute("stop")["error"]["class"] == "GenericError"
    assert client.execute("cont")["event"] == "RESUME"
    assert client.receive() == {"return": {}}
    assert client.execute("query-status")["return"]["status"] == "running"
    assert client.execute("cont")["error"]["class"] == "GenericError"
    assert client.execute("query-name") == {"return": {"name": "qmp-test"}}
    assert client.execute("stop")["event"] == "STOP"
    assert client.receive() == {"return": {}}
    assert client.execute("stop")["error"]["class"] == "GenericError"
    assert client.execute("query-status")["return"]["status"] == "paused"
    assert client.execute("system_reset")["event"] == "RESET"
    assert client.receive() == {"return": {}}
    assert client.execute("query-status")["return"]["status"] == "paused"
    client.close()


def test_stopped_cpus_stand_and_running_ones_run(run_vm: Callable[..., RunningVm]) -> None:
    vm = run_vm()
    client = vm.connect()
    (cpu,) = client.execute("query-cpus-fast")["return"]
    before = vm.cpu_ticks(cpu["thread-id"])
    while vm.cpu_ticks(cpu["thread-id"]) == before:
        client.execute("query-kvm")
    client.execute("stop")
    client.receive()
    stopped = vm.cpu_ticks(cpu["thread-id"])
    for _ in range(200):
        client.execute("query-kvm")
    assert vm.cpu_ticks(cpu["thread-id"]) - stopped <= 1
    client.close()


def test_quit_answers_then_tells_then_ends(run_vm: Callable[..., RunningVm]) -> None:
    vm = run_vm()
    witness = vm.connect()
    client = vm.connect()
    client.send(b'{"execute": "quit", "id": "last"}')
    answer, event = _receive_until_end(client)
    assert answer == {"return": {}, "id": "last"}
    assert event["event"] == "SHUTDOWN"
    assert event["data"] == {"guest": False, "reason": "host-qmp-quit"}
    assert _receive_until_end(witness) == [event]
    vm.expect_end()


def test_sigterm_is_a_shutdown_by_the_host(run_vm: Callable[..., RunningVm]) -> None:
    vm = run_vm()
    client = vm.connect()
    vm.process.send_signal(signal.SIGTERM)
    (event,) = _receive_until_end(client)
    assert event["data"] == {"guest": False, "reason": "host-signal"}
    vm.expect_end()


def test_the_guests_power_off_and_reset_are_events(run_vm: Callable[..., RunningVm]) -> None:
    vm = run_vm(_POWER_OFF, "-S")
    client = vm.connect()
    client.send(b'{"execute": "cont"}')
    resume, answer, shutdown = _receive_until_end(client)
    assert (resume["event"], answer) == ("RESUME", {"return": {}})
    assert (shutdown["event"], shutdown["data"]) == ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"})
    vm.expect_end()

    vm = run_vm(_RESET, "-S")
    client = vm.connect()
    client.send(b'{"execute": "cont"}')
    messages = [client.receive() for _ in range(5)]
    resets = [message for message in messages if message.get("event") == "RESET"]
    assert len(resets) == 3
    assert resets[0]["data"] == {"guest": True, "reason": "guest-reset"}
    client.close()


def test_several_sockets_and_what_query_chardev_says(run_vm: Callable[..., RunningVm]) -> None:
    vm = run_vm(sockets=2)
    clients = [vm.connect(0), vm.connect(1), vm.connect(1)]
    clients[0].execute("stop")
    for client in clients[1:]:
        assert client.receive()["event"] == "STOP"
    clients[0].receive()
    filenames = [each["filename"] for each in clients[0].execute("query-chardev")["return"]]
    assert filenames == [f"unix:{path},server=on" for path in vm.paths]
    for client in clients:
        client.close()


def test_misuse_disturbs_neither_the_guest_nor_other_clients(run_vm: Callable[..., RunningVm]) -> None:
    vm = run_vm()
    client = vm.connect()
    (cpu,) = client.execute("query-cpus-fast")["return"]
    client.execute("query-qmp-schema")
    memory_kib = vm.private_kib()
    abusers = [vm.connect() for _ in range(4)]
    floods = [b"x" * 4096, b"[" * 4096, b'{"execute": "query-qmp-schema"}' * 100, b"\xff\n" * 4096]

    def misuse(abuser: RawClient, flood: bytes) -> None:
        abuser.socket.settimeout(2)
        try:
            abuser.send_until_hung_up(flood, (100 << 20) // len(flood))
        except TimeoutError:
            return  # held back, which is as good

    threads = [
        threading.Thread(target=misuse, args=each, daemon=True) for each in zip(abusers, floods, strict=True)
    ]
    ran = vm.cpu_ticks(cpu["thread-id"])
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert client.execute("query-status")["return"]["running"] is True
    for thread in threads:
        thread.join()
    assert vm.cpu_ticks(cpu["thread-id"]) > ran
    assert vm.private_kib() - memory_kib < 8 << 10
    for abuser in abusers:
        abuser.close()
    client.send(b'{"execute": "quit"}')
    _receive_until_end(client)
    vm.expect_end()


@pytest.mark.parametrize("kind", ["live socket", "file"])
def test_a_path_that_is_taken_is_refused(
    run_vm: Callable[..., RunningVm], program: str, tmp_path: Path, kind: str
) -> None:
    vm = run_vm()
    vm.connect().close()
    path = Path(vm.paths[0]) if kind == "live socket" else tmp_path / "file"
    if kind == "file":
        path.write_text("precious")
    before = path.lstat()
    ran = subprocess.run(
        [program, "-kernel", str(tmp_path / "guest.bin"), "-qmp", f"unix:{path},server,nowait"],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert str(path) in ran.stderr
    assert path.lstat() == before
    vm.connect().close()


def test_a_stale_socket_of_a_killed_vm_is_replaced(run_vm: Callable[..., RunningVm]) -> None:
    vm = run_vm()
    vm.connect().close()
    vm.process.kill()
    vm.process.wait()
    assert os.path.exists(vm.paths[0]), "killed, it couldn't clean up"
    second = run_vm()
    client = second.connect()
    client.send(b'{"execute": "quit"}')
    _receive_until_end(client)
    second.expect_end()
    assert "replaced a stale socket" in second.errors()


def test_qmp_shell_drives_it(run_vm: Callable[..., RunningVm]) -> None:
    vm = run_vm()
    vm.connect().close()
    ran = subprocess.run(
        [sys.executable, "-c", "from qemu.qmp.qmp_shell import main; main()", vm.paths[0]],
        input="query-status\nstop\nquery-status\nquery-name x=1\nquit\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert "Connected to QEMU 5." in ran.stdout
    answers = [line.removeprefix("(QEMU) ") for line in ran.stdout.splitlines() if "{" in line]
    assert '"status": "running"' in answers[0]
    assert answers[1] == '{"return": {}}'
    assert '"status": "paused"' in answers[2]
    assert "Parameter 'x' is unexpected" in answers[3]
    vm.expect_end()
