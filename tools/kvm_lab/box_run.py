"""Runs one command in the box: boots it (again, if it hangs in boot), moves streams, keeps deadlines."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tools.kvm_lab.box_log import BoxLog
from tools.kvm_lab.qemu_command import PROGRAM, STREAM_PORTS, BoxHardware, qemu_command
from tools.kvm_lab.relay import Pump, poll_once
from tools.kvm_lab.request import BoxRequest, Terminal, write_request

BOOT_TRIES = 3
# A boot takes 4 to 10 s on an idle machine and says something all along; a hang is silent.
BOOT_SILENCE_S = 60.0
BOOT_LIMIT_S = 300.0
# After the request to terminate: SIGTERM, this long, SIGKILL; then files and power-off, this long.
TERMINATE_GRACE_S = 5
ENDING_LIMIT_S = 60.0
SCRATCH_BYTES = 8 * 1024**3

STATUS_NOT_BROUGHT_BACK = 123
STATUS_TIMED_OUT = 124  # as timeout(1)
STATUS_BOX_FAILED = 125  # as docker run


class BoxError(Exception):
    """The box could not run the command or give back its result; the message says why."""


class NotBroughtBackError(BoxError):
    """The command ran and ended, but didn't leave what was to be brought back.

    Attributes:
        status: The command's exit status if that says that it failed, else one of its own.
    """

    def __init__(self, paths: Sequence[str], status: int) -> None:
        ended = f"it ended with status {status}" if status else "though it ended with status 0"
        super().__init__(f"--bring-back: the command left no {', '.join(paths)}; {ended}")
        self.status = status or STATUS_NOT_BROUGHT_BACK


class BootHangError(BoxError):
    """The box hung or died before the command started: worth another try."""


@dataclass(frozen=True)
class BoxProgram:
    """What boots: replaced by tests."""

    kernel: Path
    initramfs: Path
    qemu: str = PROGRAM
    boot_silence_s: float = BOOT_SILENCE_S
    boot_limit_s: float = BOOT_LIMIT_S
    terminate_grace_s: int = TERMINATE_GRACE_S
    ending_limit_s: float = ENDING_LIMIT_S
    scratch_bytes: int = SCRATCH_BYTES


def terminal_size(descriptor: int) -> Terminal:
    """The size of the terminal that a descriptor is (TIOCGWINSZ)."""
    packed = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, b"\0" * 8)
    rows, columns = struct.unpack_from("HH", packed)
    return Terminal(rows or 24, columns or 80)


def run_in_box(program: BoxProgram, request: BoxRequest, say: Callable[[str], None]) -> int:
    """Runs a command in the box with this process's standard streams.

    Args:
        program: What boots.
        request: What runs.
        say: Takes messages of progress, one line each.

    Returns:
        The command's exit status; STATUS_TIMED_OUT if it had to be ended.

    Raises:
        NotBroughtBackError: a file or directory to bring back isn't there; the others were brought back.
        BoxError: the box didn't boot or broke.
    """
    for attempt in range(1, BOOT_TRIES + 1):
        say(f"booting a KVM host in a box (try {attempt} of {BOOT_TRIES})")
        try:
            return _Attempt(program, request).run()
        except BootHangError as error:
            say(str(error))
            last = error
    raise BoxError(f"gave up after {BOOT_TRIES} tries: {last}")


class _Attempt:
    """One boot of the box and what runs in it."""

    def __init__(self, program: BoxProgram, request: BoxRequest) -> None:
        self._program = program
        self._request = request
        self._log = BoxLog()
        self._ours: dict[str, socket.socket] = {}
        self._ending_since: float | None = None
        self._status_if_ended = 0
        self._resized = False

    def run(self) -> int:
        """Boots, runs, powers off; returns the exit status."""
        terminal = terminal_size(0) if os.isatty(0) and os.isatty(1) else None
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kvm-box-", dir="/tmp")))
            share = directory / "share"
            share.mkdir()
            write_request(share, self._request, terminal)
            disk = _make_scratch_disk(directory / "scratch.img", self._program.scratch_bytes)
            hardware = BoxHardware(
                self._program.kernel,
                self._program.initramfs,
                share,
                disk,
                self._request.memory_mib,
                self._request.cpus,
                self._request.writable,
            )
            names = ["log", *STREAM_PORTS, *(["terminal"] if terminal else [])]
            theirs: dict[str, socket.socket] = {}
            for name in names:
                self._ours[name], theirs[name] = socket.socketpair()
                stack.callback(self._ours[name].close)
            channels = {name: end.fileno() for name, end in theirs.items()}
            errors = stack.enter_context((directory / "qemu.err").open("w+b"))
            qemu = subprocess.Popen(
                qemu_command(self._program.qemu, hardware, channels),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=list(channels.values()),
                start_new_session=True,
            )
            stack.callback(_end_process, qemu)
            for end in theirs.values():
                end.close()
            signals = stack.enter_context(_signals_as_bytes())
            # Raw only for the command: until it starts, Ctrl-C is for us.
            self._relay(
                qemu, signals, terminal, lambda: stack.enter_context(_raw_terminal(terminal is not None))
            )
            return self._result(share, errors.name)

    def _relay(
        self,
        qemu: subprocess.Popen[bytes],
        signals: int,
        terminal: Terminal | None,
        at_start: Callable[[], None],
    ) -> None:
        """Moves all streams until QEMU has ended and everything it wrote has arrived."""
        log = Pump(self._ours["log"].fileno(), 2 if self._request.verbose else None, seen=self._log.take)
        if terminal is None:
            ends_stdin = self._ours["stdin"]
            outputs = [Pump(self._ours["stdout"].fileno(), 1), Pump(self._ours["stderr"].fileno(), 2)]
            stdin = Pump(0, ends_stdin.fileno(), at_end=lambda: ends_stdin.shutdown(socket.SHUT_WR))
        else:
            outputs = [Pump(self._ours["terminal"].fileno(), 1)]
            stdin = Pump(0, self._ours["terminal"].fileno())
        # box_command.sh waits for a greeting on each of its inputs.
        self._tell("control", b"greeting\n")
        self._tell("stdin", b"greeting\n")
        process = os.pidfd_open(qemu.pid)
        booted_at = time.monotonic()
        started_at: float | None = None
        running = True
        try:
            while running or any(pump.wanted() for pump in [log, *outputs]):
                if self._log.started and started_at is None:
                    started_at = time.monotonic()
                    at_start()
                deadline = self._deadline(booted_at, started_at)
                pumps = [log, *outputs, *([stdin] if started_at is not None and running else [])]
                others = [signals, process] if running else [signals]
                ready = poll_once(pumps, others, deadline - time.monotonic())
                if process in ready:
                    running = False
                if signals in ready:
                    self._take_signals(os.read(signals, 64), started_at is not None)
                if any(pump.reader_gone for pump in outputs):
                    self._terminate(128 + signal.SIGPIPE)
                if time.monotonic() >= deadline:
                    self._deadline_passed(started_at is not None)
        finally:
            os.close(process)

    def _deadline(self, booted_at: float, started_at: float | None) -> float:
        """When the present stage must be over (time.monotonic())."""
        if self._ending_since is not None:
            return self._ending_since + self._program.terminate_grace_s + self._program.ending_limit_s
        if started_at is not None:
            return started_at + self._request.timeout_s
        return min(self._log.heard_at + self._program.boot_silence_s, booted_at + self._program.boot_limit_s)

    def _deadline_passed(self, started: bool) -> None:
        if self._ending_since is not None:
            raise BoxError(f"the box does not end by itself; it said last:\n{self._log.last_lines(20)}")
        if started:
            self._terminate(STATUS_TIMED_OUT)
            return
        silent = time.monotonic() - self._log.heard_at >= self._program.boot_silence_s
        seconds = self._program.boot_silence_s if silent else self._program.boot_limit_s
        raise BootHangError(
            f"the box {'was silent' if silent else 'was still booting'} after {seconds:.0f} s"
        )

    def _terminate(self, status: int) -> None:
        """Asks the box to end the command, once; the files come back all the same."""
        if self._ending_since is None:
            self._ending_since = time.monotonic()
            self._status_if_ended = status
            self._tell("control", b"terminate %d\n" % self._program.terminate_grace_s)

    def _tell(self, channel: str, line: bytes) -> None:
        """Sends a line; a QEMU that has just ended doesn't get it, which its end tells better."""
        with suppress(BrokenPipeError):
            self._ours[channel].sendall(line)

    def _take_signals(self, numbers: bytes, started: bool) -> None:
        for number in numbers:
            if number == signal.SIGWINCH:
                if started and "terminal" in self._ours:
                    size = terminal_size(0)
                    self._tell("control", b"window %d %d\n" % (size.rows, size.columns))
            elif started and self._ending_since is None:
                self._terminate(128 + number)
            else:  # before the command runs, or asked twice: at once
                raise BoxError(f"ended by {signal.Signals(number).name}")

    def _result(self, share: Path, qemu_errors: str) -> int:
        """The exit status that the box left, after its files were brought back."""
        complaint = Path(qemu_errors).read_text(errors="replace").strip()
        if not (share / "status").exists():
            if self._log.failure:
                raise BoxError(self._log.failure)
            if complaint and not self._log.last_lines(1):
                wanted = "it must be QEMU with TCG and 9p, as Debian's package qemu-system-x86 has it"
                raise BoxError(f"{self._program.qemu} doesn't start: {complaint}; {wanted}")
            died = f"the box died; it said last:\n{self._log.last_lines(20)}\n{complaint}"
            raise BoxError(died) if self._log.started else BootHangError(died)
        archive = share / "brought_back.tar"
        if archive.exists():
            untar = ["tar", "-x", "-f", str(archive), "-C", "/", "--no-same-owner", "--no-overwrite-dir"]
            subprocess.run(untar, check=True)
        status = self._status_if_ended or int((share / "status").read_text())
        if (share / "missing").exists():
            raise NotBroughtBackError((share / "missing").read_text().splitlines(), status)
        return status


def _make_scratch_disk(path: Path, size_bytes: int) -> Path:
    """Makes a sparse file with an empty ext4."""
    with path.open("wb") as disk:
        disk.truncate(size_bytes)
    # mkfs is in /sbin, which isn't on everybody's PATH.
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    subprocess.run(
        ["mkfs.ext4", "-q", "-F", str(path)], check=True, env={"PATH": search}, stdin=subprocess.DEVNULL
    )
    return path


def _end_process(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


@contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    """Every key goes to the box as it is; restored however this ends."""
    if not wanted:
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        sys.stderr.write("\r")


@contextmanager
def _signals_as_bytes() -> Iterator[int]:
    """A descriptor that becomes readable, with the number as a byte, when a signal comes."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    wakeup_before = signal.set_wakeup_fd(writer.fileno())
    try:
        yield reader.fileno()
    finally:
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()
