"""A confined VM on a terminal, or with a monitor on a file: what it does with them its filters let it do."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.running_vm import DEADLINE_S

pytestmark = pytest.mark.timeout(180)

SYS_TGKILL = 234  # asm/unistd_64.h

StartOnTerminal = Callable[[], "OnTerminal"]


class OnTerminal:
    """A VM whose guest says something on a terminal."""

    def __init__(self, command: list[str]) -> None:
        self.master, self.slave = os.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=subprocess.PIPE, text=True
        )
        said = b""
        while b"counter" not in said:
            said += os.read(self.master, 4096)
        assert termios.tcgetattr(self.slave) != self.before, "it is raw"

    def expect_end(self, status: int) -> None:
        """Waits for the end, which leaves the terminal as it was, and nothing on standard error."""
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        assert errors == ""
        assert self.process.returncode == status
        assert termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def on_terminal(program: str, images: BareMetalImages) -> Iterator[StartOnTerminal]:
    """Starts a VM on a terminal; comes back when its guest has said something."""
    command = [program, "-kernel", str(images.form("pvh")), "-serial", "stdio"]
    with ExitStack() as stack:

        def start() -> OnTerminal:
            vm = OnTerminal([*command, "-append", "test=count nonce=0x1"])
            stack.callback(vm.close)
            return vm

        yield start


def test_ctrl_a_x_ends_it(on_terminal: StartOnTerminal) -> None:
    vm = on_terminal()
    os.write(vm.master, b"\x01x")
    vm.expect_end(0)


@pytest.mark.parametrize("thread", ["main", "vcpu0"])
def test_a_signal_that_nobody_expects_kills_it(on_terminal: StartOnTerminal, thread: str) -> None:
    """It may come to any thread, and a fault comes to the one that makes it."""
    vm = on_terminal()
    pid = vm.process.pid
    tasks = Path(f"/proc/{pid}/task").iterdir()
    names = {int(task.name): (task / "comm").read_text().strip() for task in tasks}
    tid = pid if thread == "main" else next(tid for tid, name in names.items() if name == thread)
    assert ctypes.CDLL(None).syscall(SYS_TGKILL, pid, tid, signal.SIGUSR1) == 0
    vm.expect_end(-signal.SIGUSR1)


def test_a_monitor_reads_its_commands_from_a_file(
    program: str, images: BareMetalImages, tmp_path: Path
) -> None:
    commands = tmp_path / "commands"
    commands.write_text('{"execute": "qmp_capabilities"}\n{"execute": "query-status"}\n{"execute": "quit"}\n')
    with commands.open() as stdin:
        ran = subprocess.run(
            [program, "-kernel", str(images.form("pvh")), "-S", "-qmp", "stdio"],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"status": "prelaunch"' in ran.stdout
    assert '"SHUTDOWN"' in ran.stdout
