"""How controllers start a VM, watch it and end it: by the real command, in their way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.contract.bench import (
    DEADLINE_S,
    MARK,
    Bench,
    answers,
    new_mark,
    peer_pid,
    processes_marked,
    wait_until,
)
from tests.contract.guest_code import SPIN
from tests.unit.qmp.raw_client import RawClient

pytestmark = pytest.mark.timeout(180)


def test_kata_starts_and_kills_one_pid(bench: Bench) -> None:
    """No PATH, -D without value, a descriptor to spare, the command line quoted; the end is SIGKILL."""
    path = str(bench.directory / "qmp.sock")
    spare, other = socket.socketpair()
    command = [
        bench.program, "-name", "sandbox-1", "-uuid", "8e8b0b9a-9c58-4d23-9f4b-6d3b9b0b8e1a",
        "-machine", "microvm,dump-guest-core=off,mem-share=off", "-smp", "1", "-m", "2048",
        *bench.guest(SPIN), "-append", "console=hvc0 reboot=k panic=1 pci=off acpi=off quiet",
        "-qmp", f"unix:{path},server,nowait", "-D", "-disable-seccomp",
    ]  # fmt: skip
    mark = new_mark()
    process = subprocess.Popen(
        command, env={MARK: mark}, pass_fds=(spare.fileno(),), stderr=subprocess.PIPE, cwd=bench.directory
    )
    spare.close()
    with process, other:
        wait_until(lambda: answers(path) or process.poll() is not None, "QMP doesn't answer")
        assert process.returncode is None
        client = RawClient(path)
        client.negotiate()
        assert client.execute("query-name")["return"] == {"name": "sandbox-1"}
        assert client.execute("query-uuid")["return"] == {"UUID": "8e8b0b9a-9c58-4d23-9f4b-6d3b9b0b8e1a"}
        assert peer_pid(client) == process.pid
        process.send_signal(signal.SIGKILL)
        assert client.receive() is None
        client.socket.close()
        assert process.stderr is not None
        assert b"INFO" in process.stderr.read()
        wait_until(lambda: not processes_marked(mark), "something outlives the VMM")


def test_libvirt_hands_over_a_listening_socket(bench: Bench) -> None:
    """A chardev with fd= for QMP, -S, and a pty for the serial port, found by query-chardev."""
    path = str(bench.directory / "monitor.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)
        fd = listening.fileno()
        command = [
            bench.program, "-name", "guest=demo,debug-threads=on", "-S",
            "-machine", "microvm,accel=kvm,usb=off,dump-guest-core=off", *bench.guest(SPIN),
            "-m", "512", "-overcommit", "mem-lock=off", "-smp", "2,sockets=2,cores=1,threads=1",
            "-display", "none", "-no-user-config", "-nodefaults", "-rtc", "base=utc", "-no-shutdown",
            "-chardev", f"socket,id=charmonitor,fd={fd},server=on,wait=off",
            "-mon", "chardev=charmonitor,id=monitor,mode=control", "-boot", "strict=on",
            "-chardev", "pty,id=charserial0", "-serial", "chardev:charserial0", "-msg", "timestamp=on",
        ]  # fmt: skip
        process = subprocess.Popen(command, pass_fds=(fd,), stderr=subprocess.PIPE, cwd=bench.directory)
    with process:
        client = RawClient(path)
        client.negotiate()
        assert client.execute("query-status")["return"]["status"] == "prelaunch"
        chardevs = {each["label"]: each["filename"] for each in client.execute("query-chardev")["return"]}
        assert chardevs["charserial0"].removeprefix("disconnected:").startswith("pty:/dev/pts/")
        assert client.execute("cont")["event"] == "RESUME"
        client.send(b'{"execute": "quit"}')
        while client.receive() is not None:
            pass
        client.socket.close()
        assert process.wait(DEADLINE_S) == 0
        assert os.path.exists(path), "the caller's socket isn't Bulkhead's to remove"


def test_a_daemon_lets_go_of_its_callers_streams(bench: Bench) -> None:
    """libvirt waits for the end of standard error; the daemon keeps its arguments, by which it is found."""
    path = str(bench.directory / "q")
    arguments = [*bench.guest(SPIN), "-daemonize", "-qmp", f"unix:{path},server,nowait"]
    ran = bench.run(*arguments)  # returns at the end of both streams
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    client = RawClient(path)
    client.negotiate()
    vm = peer_pid(client)
    words = Path(f"/proc/{vm}/cmdline").read_bytes().split(b"\0")[:-1]
    assert words[-len(arguments) :] == [os.fsencode(word) for word in arguments]
    for fd in (0, 1, 2):
        assert Path(f"/proc/{vm}/fd/{fd}").readlink() == Path("/dev/null")
    client.send(b'{"execute": "quit"}')
    while client.receive() is not None:
        pass
    client.socket.close()


def test_options_without_effect_are_said_once_in_the_log(bench: Bench) -> None:
    log = bench.directory / "log"
    with bench.controlled("-D", str(log), "-nodefaults", "-boot", "strict=on", "-nographic"):
        pass
    lines = [line for line in log.read_text().splitlines() if "without effect" in line]
    assert len(lines) == 1
    for option in ("-nodefaults", "-boot strict=on", "-nographic"):
        assert option in lines[0]


def test_json_where_a_list_is_expected(bench: Bench) -> None:
    chardev = json.dumps({"backend": "file", "id": "c", "path": str(bench.directory / "a,b")})
    with bench.controlled("-chardev", chardev, "-serial", "chardev:c", "-smp", '{"cpus": 2}') as (
        _vm,
        client,
    ):
        assert len(client.execute("query-cpus-fast")["return"]) == 2
    assert (bench.directory / "a,b").exists()
