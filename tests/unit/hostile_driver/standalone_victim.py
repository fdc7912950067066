"""A device standalone, under sanitizers, as a Victim."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from device_procs.device_registry import KINDS, module_of
from tests.device.hostile_driver.attack import NUM
from tests.device.hostile_driver.attacked_memory import AttackedMemory
from tests.device.hostile_driver.declaration import declared
from tools.fake_driver.driver_queue import DriverQueue

HANGS_AFTER_S = 60.0
# Every registered device, in each way that it can be made.
VARIANTS = [(kind, variant) for kind in KINDS for variant in declared(kind).standalone]
# Of queues: what the data plane knows. The others don't change what a standalone device does.
FEATURES = 1 << 32 | 1 << 29 | 1 << 28


class SanitizerReportError(AssertionError):
    """The program has ended: a sanitizer or a fault says why."""


class StandaloneVictim:
    """See tests.device.hostile_driver.victim.Victim."""

    def __init__(self, kind: str, variant: str, program: Path, where: Path) -> None:
        """Starts the program with what the device's declaration gives it."""
        self.device = declared(kind)
        self.module = module_of(kind)
        self.where = where
        self.features = FEATURES
        plan = self.device.plan(where)
        count = len(plan.queue_sizes)
        self.memory = AttackedMemory(count)
        self.kick_fds = [os.eventfd(0) for _ in range(count)]
        self.call_fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(count)]
        self.queues = [
            DriverQueue(self.memory, index, NUM, (self.kick_fds[index], self.call_fds[index]), event_idx=True)
            for index in range(count)
        ]
        regions = [
            ",".join(str(int(region[name])) for name in ("gpa", "size", "offset", "writable"))
            for region in self.memory.table()
        ]
        numbers = [self.memory.fd, count, *self.kick_fds, *self.call_fds, len(regions)]
        self._report = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
        self._process = subprocess.Popen(
            [program, *map(str, numbers), *regions, *self.device.standalone[variant](where)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._report,
            pass_fds=(self.memory.fd, *self.kick_fds, *self.call_fds),
            # A device's memory lives as long as its process, by design.
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._unread = b""
        self._mistake: str | None = None

    def _read_lines(self, timeout_s: float) -> list[str]:
        """What it has said, waiting for something."""
        poll = select.poll()
        poll.register(self._stdout.fileno(), select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            return []
        data = os.read(self._stdout.fileno(), 65536)
        if not data:
            self._raise_report()
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [line.decode() for line in lines]

    def _raise_report(self) -> NoReturn:
        status = self._process.wait(HANGS_AFTER_S)
        self._report.seek(0)
        raise SanitizerReportError(f"status {status}: {self._report.read().decode(errors='replace')}")

    def _hear(self, lines: list[str]) -> bool:
        """Takes note of mistakes; returns whether what was asked for is done."""
        for line in lines:
            if line.startswith("mistake "):
                self._mistake = line.removeprefix("mistake ")
        return "done" in lines

    def _ask(self, line: str) -> None:
        try:
            self._stdin.write(f"{line}\n".encode())
            self._stdin.flush()
        except BrokenPipeError:
            self._raise_report()
        lines: list[str] = []
        while not self._hear(lines):
            lines = self._read_lines(HANGS_AFTER_S)
            assert lines, f"no answer to {line}"

    def set_up(self, index: int, features: int, **changes: int) -> None:
        names = ("num", "desc_gpa", "avail_gpa", "used_gpa")
        rings = {name: getattr(self.queues[index], name) for name in names} | changes
        self._ask(f"set-up {index} {' '.join(str(rings[name]) for name in names)} {features}")

    def kick(self, index: int) -> None:
        os.eventfd_write(self.kick_fds[index], 1)

    def mistake(self) -> str | None:
        self._hear(self._read_lines(0))
        return self._mistake

    def settle(self) -> None:
        self._ask("settle")

    def wait(self, index: int, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self.call_fds[index], select.POLLIN)
        poll.register(self._stdout.fileno(), select.POLLIN)
        for fd, _ in poll.poll(timeout_s * 1000):
            if fd == self.call_fds[index]:
                os.eventfd_read(fd)

    def reset(self) -> str | None:
        self._ask("reset")
        said, self._mistake = self._mistake, None
        return said

    def check_alive(self) -> None:
        if self._process.poll() is not None:
            self._raise_report()

    def close(self) -> None:
        """Ends it; it must not have anything to say."""
        with suppress(BrokenPipeError):  # what it has ended by, its status tells
            self._stdin.close()
        try:
            if self._process.wait(HANGS_AFTER_S) != 0:
                self._raise_report()
        finally:
            self._process.kill()
            self._process.wait()
            self._stdout.close()
            self._report.close()
            self.memory.close()
            for fd in (*self.kick_fds, *self.call_fds):
                os.close(fd)
