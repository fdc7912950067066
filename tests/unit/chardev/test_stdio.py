"""Standard input and output: a terminal with escapes that is always restored; pipes and files as they are."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.chardev.front_end import DEADLINE_S
from tests.unit.chardev.stdio_program import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = [sys.executable, "-m", "tests.unit.chardev.stdio_program"]


def start(*arguments: str, stdin: int | None, stdout: int, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PROGRAM, *arguments], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, **options
    )


def read_until(fd: int, end: bytes) -> bytes:
    data = b""
    deadline_s = time.monotonic() + DEADLINE_S
    while not data.endswith(end):
        assert select.select([fd], [], [], max(0, deadline_s - time.monotonic()))[0], f"only {data!r} came"
        piece = os.read(fd, 65536)
        assert piece, f"the end came after {data!r}"
        data += piece
    return data


class Terminal:
    """A terminal with the program on it."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.program = start(stdin=self.slave, stdout=self.slave)
        assert read_until(self.master, b"ready;") == b"ready;"

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def ask(self, data: bytes) -> bytes:
        self.type(data)
        return read_until(self.master, b";")

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def end(self) -> tuple[int, bytes]:
        """The program's exit status, and what it wrote to standard error."""
        _, errors = self.program.communicate(timeout=DEADLINE_S)
        return self.program.returncode, errors

    def close(self) -> None:
        if self.program.poll() is None:
            self.program.kill()
            self.program.communicate()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def test_terminal_is_raw_and_escapes_work(terminal: Terminal) -> None:
    assert terminal.is_raw()
    assert terminal.ask(b"\x03\x04\x1a\x1c\r\x7f\xff") == rb"b'\x03\x04\x1a\x1c\r\x7f\xff';"
    assert terminal.ask(b"a\x01\x01b") == rb"b'a\x01b';"
    assert terminal.ask(b"u\x01wv") == rb"b'uv';", "any other key after Ctrl-A means nothing"
    assert terminal.ask(b"\x01b") == b"BREAK;"
    terminal.type(b"before\x01bafter")
    assert read_until(terminal.master, b"after';") == b"b'before';BREAK;b'after';"
    terminal.type(b"\x01x")
    assert read_until(terminal.master, b"\n").strip() == b"", "the shell's prompt comes on a line of its own"
    status, errors = terminal.end()
    assert (status, errors) == (0, b"pending=0 dropped=0\n")
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_help_names_every_escape(terminal: Terminal) -> None:
    text = terminal.ask(b"\x01hend")
    for escape in (b"Ctrl-A h ", b"Ctrl-A x ", b"Ctrl-A b ", b"Ctrl-A Ctrl-A "):
        assert escape in text
    assert text.endswith(b"b'end';"), "the guest saw nothing of it"


@pytest.mark.parametrize(
    ("order", "status"),
    [
        (b"ORDER exit", 7),
        (b"ORDER exception", 1),
        (b"ORDER fault", -signal.SIGSEGV),
        (b"ORDER abort", -signal.SIGABRT),
    ],
)
def test_terminal_is_restored_by_every_kind_of_end(terminal: Terminal, order: bytes, status: int) -> None:
    terminal.type(order)
    assert terminal.end()[0] == status
    assert termios.tcgetattr(terminal.slave) == terminal.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_terminal_is_restored_by_the_signals_that_end_a_vm(
    terminal: Terminal, number: signal.Signals
) -> None:
    terminal.program.send_signal(number)
    assert terminal.end()[0] == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before


@pytest.mark.parametrize("number", ["USR1", "USR2", "ALRM", "TRAP", "PROF", "BUS", "SYS", "XCPU"])
def test_terminal_is_restored_by_signals_that_nobody_expects(terminal: Terminal, number: str) -> None:
    which = signal.Signals[f"SIG{number}"]
    terminal.program.send_signal(which)
    assert terminal.end()[0] == -which, "and the process still dies of the signal"
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_kill_9_is_what_the_others_would_look_like(terminal: Terminal) -> None:
    terminal.program.kill()
    assert terminal.end()[0] == -signal.SIGKILL
    assert terminal.is_raw()


def test_shared_descriptors_keep_their_flags(terminal: Terminal) -> None:
    assert not fcntl.fcntl(terminal.slave, fcntl.F_GETFL) & os.O_NONBLOCK
    assert terminal.ask(b"x") == b"b'x';"
    terminal.type(b"\x01x")
    terminal.end()
    assert not fcntl.fcntl(terminal.slave, fcntl.F_GETFL) & os.O_NONBLOCK


class Pipes:
    """The program between two pipes whose other ends the test holds."""

    def __init__(self, *arguments: str) -> None:
        theirs_in, self.to_program = os.pipe()
        self.from_program, theirs_out = os.pipe()
        self.flags_before = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (theirs_in, theirs_out)]
        self.shared = [theirs_in, theirs_out]  # as a shell keeps them
        self.program = start(*arguments, stdin=theirs_in, stdout=theirs_out)

    def flags(self) -> list[int]:
        return [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in self.shared]

    def let_go(self) -> None:
        for fd in self.shared:
            os.close(fd)
        self.shared = []

    def close(self) -> None:
        if self.program.poll() is None:
            self.program.kill()
            self.program.communicate()
        self.let_go()
        for fd in (self.to_program, self.from_program):
            if fd >= 0:
                os.close(fd)


def test_pipes_are_used_as_they_are() -> None:
    pipes = Pipes()
    try:
        assert read_until(pipes.from_program, b";") == b"ready;"
        os.write(pipes.to_program, b"\x01x is data here")
        assert read_until(pipes.from_program, b";") == rb"b'\x01x is data here';"
        assert pipes.flags() == pipes.flags_before
        pipes.let_go()
        os.close(pipes.to_program)
        pipes.to_program = -1
        pipes.program.send_signal(signal.SIGTERM)  # the end of input alone doesn't end a VM
        _, errors = pipes.program.communicate(timeout=DEADLINE_S)
        assert errors == b"pending=0 dropped=0\n"
    finally:
        pipes.close()


def test_slow_reader_gets_everything_in_order() -> None:
    pipes = Pipes("2000000")
    try:
        data = b""
        while len(data) < 2_000_006:
            assert pipes.flags() == pipes.flags_before
            data += os.read(pipes.from_program, 50_000)
        assert data == b"ready;" + pattern(2_000_000)
    finally:
        pipes.close()


def test_reader_that_never_reads_holds_nobody_up() -> None:
    pipes = Pipes("1000000")
    try:
        assert select.select([pipes.from_program], [], [], DEADLINE_S)[0]
        os.write(pipes.to_program, b"hello")
        pipes.program.send_signal(signal.SIGTERM)
        _, errors = pipes.program.communicate(timeout=DEADLINE_S)
        assert errors.startswith(b"pending=9")
        assert errors.endswith(b" dropped=0\n")
    finally:
        pipes.close()


def test_reader_that_leaves() -> None:
    pipes = Pipes("1000000")
    try:
        assert os.read(pipes.from_program, 6) == b"ready;"
        pipes.let_go()
        os.close(pipes.from_program)
        pipes.from_program = -1
        os.write(pipes.to_program, b"still alive?")
        pipes.program.send_signal(signal.SIGTERM)
        _, errors = pipes.program.communicate(timeout=DEADLINE_S)
        lines = errors.decode().splitlines()
        assert "the reader has left; output is dropped" in lines[0]
        assert lines[-1].startswith("pending=0 dropped=")
        assert int(lines[-1].split("=")[-1]) > 800_000
        assert pipes.program.returncode == 0
    finally:
        pipes.close()


@pytest.mark.parametrize("kind", ["regular", "null", "closed"])
def test_input_that_cannot_be_waited_for(tmp_path: Path, kind: str) -> None:
    given = tmp_path / "input"
    given.write_bytes(b"from a file")
    if kind == "closed":
        program = subprocess.Popen(
            ["sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    else:
        with open(given if kind == "regular" else "/dev/null", "rb") as file:
            program = start(stdin=file.fileno(), stdout=subprocess.PIPE)
    assert program.stdout is not None
    expected = b"ready;b'from a file';" if kind == "regular" else b"ready;"
    assert read_until(program.stdout.fileno(), expected) == expected
    program.send_signal(signal.SIGTERM)
    _, errors = program.communicate(timeout=DEADLINE_S)
    assert errors == b"pending=0 dropped=0\n"


def test_output_to_a_regular_file(tmp_path: Path) -> None:
    with open(tmp_path / "output", "wb") as file:
        program = start("100000", stdin=subprocess.PIPE, stdout=file.fileno())
    assert program.stdin is not None
    program.stdin.write(b"ORDER exit")
    program.stdin.flush()
    program.communicate(timeout=DEADLINE_S)
    assert program.returncode == 7
    assert (tmp_path / "output").read_bytes() == b"ready;" + pattern(100_000)
