"""A VMM process: its QMP sockets, its serial port, its end."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from pathlib import Path

from tests.guest.guest_report import GuestReport, SerialStream
from tests.started_processes import tell_unread_errors
from tests.unit.qmp.raw_client import RawClient

DEADLINE_S = 60.0


class RunningVm:
    """A VMM process with one or more QMP sockets, and its serial port on pipes if asked for."""

    def __init__(
        self,
        program: str,
        directory: Path,
        kernel: Path,
        *arguments: str,
        sockets: int = 1,
        serial: str | None = None,
        deadlines: str | None = None,
    ) -> None:
        """Starts it in directory, where its sockets go too; deadlines is for BULKHEAD_DEADLINES."""
        self._clients: list[RawClient] = []
        self.paths = [str(directory / f"qmp{index}") for index in range(sockets)]
        command = [program, "-kernel", str(kernel), *arguments]
        for path in self.paths:
            command += ["-qmp", f"unix:{path},server,nowait"]
        if serial is not None:
            command += ["-serial", serial]
        pipe = subprocess.PIPE if serial == "stdio" else None
        told = {} if deadlines is None else {"BULKHEAD_DEADLINES": deadlines}
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **told},
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.PIPE,
            cwd=directory,
        )

    def connect(self, index: int = 0) -> RawClient:
        """A client that has negotiated, once there is a socket; closed with the VM at the latest."""
        self.wait_for_listener(self.paths[index]).close()
        client = RawClient(self.paths[index])
        self._clients.append(client)
        client.negotiate()
        return client

    def wait_for_listener(self, path: str) -> socket.socket:
        """Connects to a unix socket of this VM as soon as somebody listens there."""
        expires = time.monotonic() + DEADLINE_S
        ended = os.pidfd_open(self.process.pid)
        client = socket.socket(socket.AF_UNIX)
        try:
            while client.connect_ex(path) != 0:
                gone = select.select([ended], [], [], 0.02)[0]
                assert not gone, f"the VMM ended: {self.errors()}"
                assert time.monotonic() < expires, f"nobody listens at {path}"
        except BaseException:
            client.close()
            raise
        finally:
            os.close(ended)
        return client

    def expect_end(self, status: int = 0) -> None:
        """Waits for an end with that exit status that leaves nothing behind."""
        assert self.process.wait(DEADLINE_S) == status, self.errors()
        assert not any(os.path.exists(path) for path in self.paths)

    def errors(self) -> str:
        """All of standard error, once the process has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def cpu_ticks(self, thread_id: int) -> int:
        """How long a thread has run, in the kernel's clock ticks."""
        fields = Path(f"/proc/{self.process.pid}/task/{thread_id}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def private_kib(self) -> int:
        """The process's own memory, guest memory aside (that is shared)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
        raise AssertionError("no RssAnon")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        tell_unread_errors(self.process)
        for client in self._clients:
            client.close()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class BareMetalVm(RunningVm):
    """A VM that runs one of the bare-metal guest's programmes, and what that reports.

    Attributes:
        nonce: What the guest was given to prove itself with.
        serial: The serial port's other end.
        report: The report of the boot that is under way.
    """

    def __init__(
        self,
        program: str,
        directory: Path,
        kernel: Path,
        test: str,
        *arguments: str,
        append: str = "",
        sockets: int = 0,
        serial: str = "stdio",
        deadlines: str | None = None,
    ) -> None:
        """Starts the programme test of the guest; append is for its options.

        If serial isn't stdio, use_serial() must follow.
        """
        self.nonce = int.from_bytes(os.urandom(8), "little")
        self.append = f"test={test} nonce={self.nonce:#x} {append}".rstrip()
        super().__init__(
            program,
            directory,
            kernel,
            "-append",
            self.append,
            *arguments,
            sockets=sockets,
            serial=serial,
            deadlines=deadlines,
        )
        if self.process.stdin is not None and self.process.stdout is not None:
            self.use_serial(SerialStream(self.process.stdout.fileno(), self.process.stdin.fileno()))

    def use_serial(self, serial: SerialStream) -> None:
        """Takes the guest's report from there."""
        self.serial = serial
        self.report = GuestReport(self.serial, self.nonce)

    def next_boot(self) -> GuestReport:
        """The report of the guest's next boot; the one before must have been read to its seal."""
        self.report = GuestReport(self.serial, self.nonce)
        return self.report

    def expect_power_off(self, errors: str = "") -> GuestReport:
        """Reads the report to its seal; the guest must have powered off then, and the VMM ended well."""
        self.report.wait_for_seal()
        self.expect_silent_end(errors)
        return self.report

    def expect_silent_end(self, errors: str = "") -> None:
        """Waits for a clean end without another word from the guest or (but for errors) the VMM."""
        assert self.serial.read_to_end() == b""
        self.expect_end()
        assert self.errors() == errors
