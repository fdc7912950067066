"""One guest of the linux layer: the VMM's process, its console, its QMP."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from qemu.qmp.legacy import QEMUMonitorProtocol, QMPMessage

from tools.first_boot.serial_console import SerialConsole

# A boot takes 6 to 12 s in the box; deadlines only catch hangs.
BOOT_DEADLINE_S = 150.0
POWER_DEADLINE_S = 120.0
QMP_DEADLINE_S = 120.0


class LinuxGuest:
    """A running VM. A context manager: at its end the VM is gone, however the test ended.

    Attributes:
        console: The guest's serial port.
        process: The VMM.
        qmp_path: Its QMP socket.
    """

    def __init__(self, command: list[str], directory: Path, append: str) -> None:
        self.qmp_path = directory / "qmp"
        self._monitor: QEMUMonitorProtocol | None = None
        self._socket, theirs = socket.socketpair()
        arguments = ["-serial", "stdio", "-qmp", f"unix:{self.qmp_path},server,nowait", "-append", append]
        with theirs, (directory / "stderr").open("w") as errors:
            self.process = subprocess.Popen(
                [*command, *arguments], stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=errors
            )
        self._errors = directory / "stderr"
        self.console = SerialConsole(self._socket.fileno(), self._socket.fileno())

    def __enter__(self) -> LinuxGuest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._monitor is not None:
            self._monitor.close()
        self.process.kill()
        self.process.wait()
        self._socket.close()

    def errors(self) -> str:
        """What the VMM has written to standard error."""
        return self._errors.read_text()

    def wait_for_shell(self) -> None:
        """Waits until the guest's shell prompts."""
        self.console.wait_for_prompt(BOOT_DEADLINE_S)

    def wait_for_boot(self) -> None:
        """Waits until a guest that was running has booted anew: a prompt alone may be one from before."""
        self.console.wait_for("This is Linux ", BOOT_DEADLINE_S)
        self.wait_for_shell()

    def run(self, command: str, deadline_s: float = 120.0) -> str:
        """A command's output in the guest's shell; it must succeed."""
        answer = self.console.ask(command, deadline_s)
        assert answer.status == 0, f"{command!r} in the guest: status {answer.status}: {answer.output}"
        return answer.output

    def power_off(self) -> None:
        """Powers off from inside, and expects the VMM to end well."""
        self.console.send("poweroff\n")
        self.expect_end()

    def expect_end(self) -> None:
        """Waits for the guest to power off and for the VMM's end, which must be clean."""
        self.console.wait_for("reboot: Power down", POWER_DEADLINE_S)
        self.console.read_to_end(POWER_DEADLINE_S)
        assert self.process.wait(POWER_DEADLINE_S) == 0, self.errors()
        assert not self.qmp_path.exists(), "the QMP socket is left behind"

    def monitor(self) -> QEMUMonitorProtocol:
        """A QMP client, connected when first asked for; it gathers events from then on."""
        if self._monitor is None:
            self._wait_for_qmp_socket()
            self._monitor = QEMUMonitorProtocol(str(self.qmp_path))
            self._monitor.connect(negotiate=True)
        return self._monitor

    def _wait_for_qmp_socket(self) -> None:
        expires = time.monotonic() + QMP_DEADLINE_S
        ended = os.pidfd_open(self.process.pid)
        try:
            while True:
                with socket.socket(socket.AF_UNIX) as probe:
                    if probe.connect_ex(str(self.qmp_path)) == 0:
                        return
                gone = select.select([ended], [], [], 0.1)[0]
                assert not gone, f"the VMM ended before its QMP answered: {self.errors()}"
                assert time.monotonic() < expires, f"no QMP after {QMP_DEADLINE_S} s"
        finally:
            os.close(ended)

    def wait_for_event(self, name: str) -> QMPMessage:
        """The next event of that name; others before it are dropped."""
        while True:
            event = self.monitor().pull_event(wait=POWER_DEADLINE_S)
            assert event is not None
            if event["event"] == name:
                return event
