"""What is measured: a name and a command, the built-in ones and those of the user."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks.first_byte_guest import FIRST_BYTE
from tools.setup.host_kind import HostKind

BULKHEAD = "bulkhead"
BUDGETED_DEVICES, MOST_DEVICES = 4, 11  # the budget's count, and all that a microvm has slots for
QEMU = "qemu-microvm"
PYTHON = "empty-python"

_VERSION_DEADLINE_S = 20.0


class PeerError(Exception):
    """A peer isn't written as it should be, or can't be measured; the text says which and why."""


@dataclass(frozen=True)
class Peer:
    """One command to measure. Words may hold {kernel}, {memory_mib} and {directory}."""

    name: str
    words: tuple[str, ...]

    def command(self, kernel: Path, memory_mib: int, directory: Path) -> list[str]:
        """The words with their placeholders filled in.

        Args:
            kernel: The guest.
            memory_mib: The guest's memory.
            directory: Empty at the start of each run, for sockets and the like.
        """
        values = {"kernel": str(kernel), "memory_mib": str(memory_mib), "directory": str(directory)}
        filled = []
        for word in self.words:
            for name, value in values.items():
                word = word.replace("{" + name + "}", value)  # noqa: PLW2901 - the same word, filled in
            filled.append(word)
        return filled

    def version(self) -> str:
        """The first line of what the program answers to --version."""
        try:
            asked = subprocess.run(
                [self.words[0], "--version"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_VERSION_DEADLINE_S,
            )
        except OSError as error:
            raise PeerError(f"{self.name}: can't run {self.words[0]}: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            return "unknown (--version doesn't end)"
        lines = (asked.stdout or asked.stderr).splitlines()
        return lines[0] if lines and asked.returncode == 0 else "unknown (no answer to --version)"


def parse_peer(text: str) -> Peer:
    """A peer from the command line: NAME=COMMAND.

    Raises:
        PeerError: There is no name or no command, or a quote isn't closed.
    """
    name, _, command = text.partition("=")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise PeerError(f"{text!r}: {error}") from error
    if not name or not words or "/" in name or " " in name:
        raise PeerError(f"{text!r} isn't NAME='COMMAND'")
    return Peer(name, tuple(words))


def bulkhead(program: str) -> Peer:
    """A VM without devices, its serial port on standard input and output."""
    return Peer(BULKHEAD, (program, "-m", "{memory_mib}", "-kernel", "{kernel}", "-serial", "stdio"))


def with_devices(count: int) -> str:
    """The name of the peer that bulkhead_with_devices() makes."""
    return f"{BULKHEAD}-{count}"


def bulkhead_with_devices(program: str, count: int) -> Peer:
    """The same VM with so many entropy devices, each a jailed process that is ready for its driver."""
    words = [*bulkhead(program).words, "-object", "rng-random,id=source,filename=/dev/urandom"]
    for number in range(count):
        words += ["-device", f"virtio-rng-device,id=rng{number},rng=source"]
    return Peer(with_devices(count), tuple(words))


def qemu_microvm(program: str, host: HostKind) -> Peer:
    """The same VM of QEMU's."""
    # Where KVM emulates every instruction it can't set IA32_ARCH_CAPABILITIES, and QEMU ends.
    cpu = "host" if host.runs_linux else "host,-arch-capabilities"
    words = [program, "-M", "microvm", "-accel", "kvm", "-cpu", cpu, "-m", "{memory_mib}"]
    words += ["-no-user-config", "-nodefaults", "-display", "none"]
    return Peer(QEMU, (*words, "-kernel", "{kernel}", "-serial", "stdio"))


def empty_python(program: str) -> Peer:
    """An interpreter that starts as Bulkhead's does, imports nothing, and writes the byte itself."""
    script = f"import posix; posix.write(1, {FIRST_BYTE!r}); posix.read(0, 1)"
    return Peer(PYTHON, (program, "-I", "-S", "-E", "-c", script))


def check_names(peers: Sequence[Peer]) -> None:
    """Refuses two peers of one name.

    Raises:
        PeerError: There are two.
    """
    names = [peer.name for peer in peers]
    for name in names:
        if names.count(name) > 1:
            raise PeerError(f"two peers are named {name}")
