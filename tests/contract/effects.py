"""The effect of each option: an observation that has one result with the option and another without it.

`{dir}` in arguments stands for the directory of the observation.
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Callable
from typing import Any

from tests.contract.bench import (
    Bench,
    answers,
    is_kept_from_core_dumps,
    peer_pid,
    read_until_closed,
    wait_until,
)
from tests.contract.device_effects import DEVICE_EFFECTS
from tests.contract.disk_effects import DISK_EFFECTS
from tests.contract.effect import Effect
from tests.contract.guest_code import ANSWER_ONE_MORE, POWER_OFF, SPIN, say
from tests.unit.qmp.raw_client import RawClient

INITRD = b"an initrd of 24 bytes.\r\n"
# The contract's own -append, as it is in its examples: not quoted.
COMMAND_LINE = "console=ttyS0 root=/dev/vda reboot=k panic=1 rw"
LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (\d+) INFO machine: event SHUTDOWN", re.M)


def greeting(bench: Bench, arguments: list[str]) -> bool:
    """Whether QMP greets at {dir}/qmp once the guest runs."""
    path = str(bench.directory / "qmp")
    with bench.running(*bench.guest(say(b"!") + SPIN), "-serial", "stdio", *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"!"
        if not answers(path):
            return False
        client = RawClient(path)
        client.socket.close()
        return "QMP" in client.greeting


def is_logged(bench: Bench, arguments: list[str]) -> bool:
    """Whether the guest's end is in the file {dir}/log, with time, pid, level and module."""
    log = bench.directory / "log"
    assert bench.run(*bench.guest(POWER_OFF), *arguments).returncode == 0
    return log.exists() and LOG_LINE.search(log.read_text()) is not None


def is_logged_to_stderr(bench: Bench, arguments: list[str]) -> bool:
    """Whether the guest's end is said on standard error."""
    ran = bench.run(*bench.guest(POWER_OFF), *arguments)
    return LOG_LINE.search(ran.stderr.decode()) is not None


def is_in_background(bench: Bench, arguments: list[str]) -> bool:
    """Whether the VM is a child of the command, in a session of its own; the command then ends well."""
    with bench.controlled(*arguments) as (process, client):
        vm = peer_pid(client)
        if vm == process.pid:
            return False
        assert process.wait(60) == 0
        assert os.getsid(vm) == vm
        return True


def pid_in_file(bench: Bench, arguments: list[str]) -> bool:
    """Whether {dir}/pid holds the pid of the VM, while it runs only."""
    path = bench.directory / "pid"
    with bench.controlled("-daemonize", *arguments) as (_process, client):
        vm = os.pidfd_open(peer_pid(client))
        found = path.exists() and path.read_text() == f"{peer_pid(client)}\n"
    wait_until(lambda: not _lives(vm), "the VM doesn't end")
    os.close(vm)
    assert not path.exists(), "left behind"
    return found


def _lives(pidfd: int) -> bool:
    return not select.select([pidfd], [], [], 0)[0]


def stdio_answer(bench: Bench, arguments: list[str]) -> bytes:
    """What the guest answers on standard output to an A on standard input: a B."""
    return bench.run(*bench.guest(ANSWER_ONE_MORE), *arguments, stdin=b"A").stdout


def pty_answer(bench: Bench, arguments: list[str]) -> bytes:
    """What the guest answers to an A on the terminal whose name is said at the start."""
    with bench.running(*bench.guest(ANSWER_ONE_MORE), *arguments) as process:
        assert process.stderr is not None
        said = re.search(rb"/dev/pts/\d+", process.stderr.readline())
        if said is None:
            return b""
        terminal = os.open(said[0], os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(terminal, b"A")
            return read_until_closed(terminal)
        finally:
            os.close(terminal)


def socket_answer(bench: Bench, arguments: list[str]) -> bytes:
    """What the guest answers to an A on the socket {dir}/serial."""
    path = str(bench.directory / "serial")
    with bench.running(*bench.guest(ANSWER_ONE_MORE), *arguments) as process:
        wait_until(lambda: answers(path) or process.poll() is not None, "neither a socket nor an end")
        if process.returncode is not None:
            return b""
        client = RawClient(path, greet=False)
        client.send(b"A")
        answer = client.socket.recv(16)
        client.socket.close()
        return answer


def file_output(bench: Bench, arguments: list[str]) -> bytes:
    """What is in {dir}/serial once a guest has said hello and powered off."""
    path = bench.directory / "serial"
    bench.run(*bench.guest(say(b"hello") + POWER_OFF), *arguments)
    return path.read_bytes() if path.exists() else b""


def runs_without_client(bench: Bench, arguments: list[str]) -> bool:
    """Whether the guest runs although nobody connects; otherwise the log says what it waits for."""
    log = bench.directory / "log"
    server = f"socket,path={bench.directory}/serial,server"
    value = ",".join([server, *arguments])
    with bench.running(*bench.guest(POWER_OFF), "-D", str(log), "-serial", value) as process:
        wait_until(
            lambda: (
                process.poll() is not None or (log.exists() and "waiting for a client" in log.read_text())
            ),
            "neither an end nor a wait",
        )
        return process.returncode == 0


def makes_the_socket(bench: Bench, arguments: list[str]) -> bool:
    """Whether it makes {dir}/serial rather than connects to it."""
    path = str(bench.directory / "serial")
    value = ",".join(["socket", f"path={path}", *arguments])
    with bench.running(*bench.guest(SPIN), "-serial", value) as process:
        wait_until(lambda: answers(path) or process.poll() is not None, "neither a socket nor an end")
        return process.returncode is None


def core_is_lean(bench: Bench, arguments: list[str]) -> bool:
    """Whether a core dump of the VMM leaves the guest's memory out."""
    with bench.controlled(*arguments) as (process, _client):
        return is_kept_from_core_dumps(process.pid)


def initrd(bench: Bench, arguments: list[str]) -> bytes:
    """The initrd that the guest finds, by the zero page."""
    (bench.directory / "initrd").write_bytes(INITRD)
    return bench.booted(*arguments).initrd


def first_words(bench: Bench, arguments: list[str]) -> bytes:
    """What the kernel image says when it runs; nothing without one."""
    kernel = bench.guest(say(b"I am the kernel") + POWER_OFF)
    os.rename(kernel[1], bench.directory / "vmlinux.bin")
    return bench.run("-serial", "stdio", *arguments).stdout


def warns_of_no_filters(bench: Bench, arguments: list[str]) -> bool:
    """Whether standard error warns that processes run without system call filters."""
    ran = bench.run(*bench.guest(POWER_OFF), *arguments)
    assert ran.returncode == 0
    return b"without their system call filters" in ran.stderr


def _ask(command: str) -> Callable[[Bench, list[str]], Any]:
    return lambda bench, arguments: bench.ask(command, *arguments)


def _cpus(bench: Bench, arguments: list[str]) -> int:
    return len(bench.ask("query-cpus-fast", *arguments))


def _memory_mib(bench: Bench, arguments: list[str]) -> int:
    low_holes = (0x10_0000 - 0x9_FC00) >> 10  # KiB that no PC gives as RAM, below 1 MiB
    return ((bench.booted(*arguments).memory_bytes >> 10) + low_holes) >> 10


def _command_line(bench: Bench, arguments: list[str]) -> str:
    return bench.booted(*arguments).command_line


SERIAL_SOCKET = "socket,path={dir}/serial,server,nowait"

EFFECTS = {
    "name": Effect(["-name", "contract-vm"], _ask("query-name"), {"name": "contract-vm"}),
    "kernel": Effect(["-kernel", "{dir}/vmlinux.bin"], first_words, b"I am the kernel"),
    "append-unquoted": Effect(["-append", *COMMAND_LINE.split()], _command_line, COMMAND_LINE),
    "append-quoted": Effect(["-append", COMMAND_LINE], _command_line, COMMAND_LINE),
    "initrd": Effect(["-initrd", "{dir}/initrd"], initrd, INITRD),
    "smp": Effect(["-smp", "3"], _cpus, 3),
    "smp-cpus": Effect(["-smp", "cpus=3"], _cpus, 3),
    "m-default-unit": Effect(["-m", "384"], _memory_mib, 384),
    "m-mib": Effect(["-m", "384M"], _memory_mib, 384),
    "m-gib": Effect(["-m", "5G"], _memory_mib, 5 << 10),
    "qmp": Effect(["-qmp", "unix:{dir}/qmp,server,nowait"], greeting, True),
    "log-file": Effect(["-D", "{dir}/log"], is_logged, True),
    "log-without-value": Effect(["-D"], is_logged_to_stderr, True),
    "pidfile": Effect(["-pidfile", "{dir}/pid"], pid_in_file, True),
    "daemonize": Effect(["-daemonize"], is_in_background, True),
    "disable-seccomp": Effect(["-disable-seccomp"], warns_of_no_filters, True),
    "dump-guest-core": Effect(["-machine", "MicroVm,dump-guest-core=off"], core_is_lean, True),
    "serial-stdio": Effect(["-serial", "stdio"], stdio_answer, b"B"),
    "serial-pty": Effect(["-serial", "pty"], pty_answer, b"B"),
    "serial-socket": Effect(["-serial", SERIAL_SOCKET], socket_answer, b"B"),
    "serial-file": Effect(["-serial", "file,path={dir}/serial"], file_output, b"hello"),
    "chardev-stdio": Effect(["-chardev", "stdio,id=c", "-serial", "chardev:c"], stdio_answer, b"B"),
    "chardev-pty": Effect(["-chardev", "pty,id=c", "-serial", "chardev:c"], pty_answer, b"B"),
    "chardev-socket": Effect(
        ["-chardev", f"{SERIAL_SOCKET},id=c", "-serial", "chardev:c"], socket_answer, b"B"
    ),
    "chardev-file": Effect(
        ["-chardev", "file,id=c,path={dir}/serial", "-serial", "chardev:c"], file_output, b"hello"
    ),
    "nowait": Effect(["nowait"], runs_without_client, True),
    "server": Effect(["server", "nowait"], makes_the_socket, True),
    **DEVICE_EFFECTS,
    **DISK_EFFECTS,
}
