"""Runs the real VMM for one observation: with a guest of a few instructions, on this host's /dev/kvm."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.contract import guest_code
from tests.guest.bare_metal_image import BareMetalImages
from tests.started_processes import tell_unread_errors
from tests.unit.qmp.raw_client import RawClient

DEADLINE_S = 60.0
_E820_ENTRIES, _E820_TABLE = 0x1E8, 0x2D0  # Documentation/arch/x86/zero-page.rst
_RAM = 1

# An environment variable by which the processes of one start are found.
MARK = "BULKHEAD_TEST_MARK"
# Root without these obeys the permissions of files; for others it changes nothing.
_WITHOUT_PRIVILEGES = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--") if os.getuid() == 0 else ()
)


class Booted:
    """What a guest found when it was entered."""

    def __init__(self, output: bytes) -> None:
        self.zero_page = output[: guest_code.ZERO_PAGE_BYTES]
        rest = output[guest_code.ZERO_PAGE_BYTES :]
        self.command_line = rest[: guest_code.COMMAND_LINE_BYTES].split(b"\0")[0].decode()
        self.initrd = rest[guest_code.COMMAND_LINE_BYTES :]

    @property
    def memory_bytes(self) -> int:
        """All RAM in the memory map."""
        entries = [
            struct.unpack_from("<QQI", self.zero_page, _E820_TABLE + 20 * index)
            for index in range(self.zero_page[_E820_ENTRIES])
        ]
        return sum(size for _gpa, size, kind in entries if kind == _RAM)


class Bench:
    """Starts VMs in a directory of their own and looks at what becomes of them."""

    def __init__(self, program: str, directory: Path, images: Callable[[], BareMetalImages]) -> None:
        """For one test.

        Args:
            program: The VMM.
            directory: Where its files go.
            images: Gives the guest layer's guest, built when it is first asked for.
        """
        self.program = program
        self.directory = directory
        self.images = images

    def guest(self, code: bytes) -> list[str]:
        """The arguments that boot code."""
        path = self.directory / f"{hash(code) & 0xFFFF_FFFF:08x}.bin"
        path.write_bytes(guest_code.image(code))
        return ["-kernel", str(path)]

    def run(
        self, *arguments: str, stdin: bytes = b"", pass_fds: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs the VMM to its end."""
        return subprocess.run(
            [self.program, *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=DEADLINE_S,
            cwd=self.directory,
            pass_fds=pass_fds,
        )

    def booted(self, *arguments: str) -> Booted:
        """What the guest of these arguments finds at its entry."""
        ran = self.run(*self.guest(guest_code.REPORT), "-serial", "stdio", *arguments)
        assert ran.returncode == 0, ran.stderr
        return Booted(ran.stdout)

    def refusal(self, *arguments: str) -> str:
        """The one line with which the VMM refuses these arguments."""
        ran = self.run(*arguments)
        assert (ran.returncode, ran.stdout) == (1, b""), ran
        line, newline, rest = ran.stderr.decode().partition("\n")
        assert (newline, rest) == ("\n", ""), ran.stderr
        return line

    def expect_refusal(
        self,
        *arguments: str,
        option: str,
        value: str,
        pass_fds: tuple[int, ...] = (),
        unprivileged: bool = False,
    ) -> str:
        """The one line with which the VMM refuses these arguments, naming option, value and what is allowed.

        Whatever was there before is still there, and nothing else: neither file nor process.
        """
        before = _listing(self.directory)
        mark = new_mark()
        ran = subprocess.run(
            [*(_WITHOUT_PRIVILEGES if unprivileged else ()), self.program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=DEADLINE_S,
            cwd=self.directory,
            env={MARK: mark},
            pass_fds=pass_fds,
        )
        assert (ran.returncode, ran.stdout) == (1, b""), ran
        wait_until(lambda: not processes_marked(mark), "a process is left behind")
        line, newline, rest = ran.stderr.decode().partition("\n")
        assert (newline, rest) == ("\n", ""), ran.stderr
        assert line.isprintable()
        assert line.startswith("bulkhead: ")
        assert f"{option} " in line, line
        assert value in line, line
        assert re.search(r"\ballowed\b|\bmust\b", line, re.I), line
        assert _listing(self.directory) == before
        return line

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A VMM that runs meanwhile, with its standard streams on pipes."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [self.program, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, cwd=self.directory
        )
        with process:
            try:
                yield process
            finally:
                process.kill()
                process.wait()
                tell_unread_errors(process)

    @contextmanager
    def controlled(
        self, *arguments: str, code: bytes = guest_code.SPIN
    ) -> Iterator[tuple[subprocess.Popen[bytes], RawClient]]:
        """A VMM whose guest doesn't end by itself, and a QMP client of it; ended by quit."""
        path = str(self.directory / "control")
        qmp = ["-qmp", f"unix:{path},server,nowait"]
        with self.running(*self.guest(code), *qmp, *arguments) as process:
            wait_until(lambda: answers(path) or process.poll() not in (None, 0), "QMP doesn't answer")
            with closing(RawClient(path)) as client:
                client.negotiate()
                yield process, client
                client.send(b'{"execute": "quit"}')
                while client.receive() is not None:
                    pass

    def ask(self, command: str, *arguments: str) -> Any:
        """What QMP returns for command."""
        with self.controlled(*arguments) as (_process, client):
            return client.execute(command)["return"]


def new_mark() -> str:
    """One that no other test has: of another run on this machine, either."""
    return os.urandom(8).hex()


def processes_marked(mark: str) -> list[int]:
    """The processes that were started with MARK=mark in their environment, and their children."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:  # it has ended, or is somebody else's
                continue
            if wanted in environment:
                found.append(int(entry.name))
    return found


def _listing(directory: Path) -> dict[str, tuple[int, int, int, int]]:
    """What is in a directory and below, with what changes when somebody touches it."""
    found = {}
    for path in directory.rglob("*"):
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def answers(path: str) -> bool:
    """Whether somebody listens at a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    """Waits for something that no descriptor tells of; fails with otherwise."""
    expires = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < expires, otherwise
        time.sleep(0.005)


def peer_pid(client: RawClient) -> int:
    """The process at the other end of a unix socket."""
    credentials = client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _uid, _gid = struct.unpack("3i", credentials)
    return int(pid)


def is_kept_from_core_dumps(pid: int) -> bool:
    """Whether the guest's memory, in the VMM with this pid, is marked "don't dump" (proc(5), smaps)."""
    mapping = re.search(
        r"bulkhead-guest-memory.*?VmFlags:([^\n]*)", Path(f"/proc/{pid}/smaps").read_text(), re.S
    )
    assert mapping is not None, "no mapping of the guest's memory"
    return "dd" in mapping[1].split()


def read_until_closed(fd: int) -> bytes:
    """All that comes from a terminal's other end."""
    data = b""
    while True:
        try:
            chunk = os.read(fd, 4096)
        except OSError:  # EIO: the terminal's other end is closed
            return data
        if not chunk:
            return data
        data += chunk
