"""The scripted first boot: starts the VM, asks the guest about itself, powers it off.

Each step has its own exit status, so that a failure can be told apart without reading.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tools.first_boot.process_table import ProcessTableError, device_processes, table
from tools.first_boot.serial_console import ConsoleError, SerialConsole

BOOT_DEADLINE_S = 300.0
POWER_OFF_DEADLINE_S = 120.0

KERNEL_RELEASE = r"[0-9]+[.][0-9]+[.0-9]*[-+.~a-zA-Z0-9]*"

STATUS_START = 10
STATUS_SHELL = 11
STATUS_KERNEL = 12
STATUS_CPUS = 13
STATUS_MEMORY = 14
STATUS_CLOCK = 15
STATUS_NONCE = 16
STATUS_POWER_OFF = 17
STATUS_VMM_EXIT = 18
STATUS_RANDOM = 19
STATUS_PROCESSES = 20
STATUS_DISK = 21

RANDOM_DEVICE = "/dev/hwrng"
RANDOM_BYTES = 16

KEPT_FILE = "/root/kept"
DROP_CACHES = "echo 3 >/proc/sys/vm/drop_caches"


class StepError(Exception):
    """A step of the first boot didn't happen.

    Attributes:
        status: The exit status that says which one.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _ask(console: SerialConsole, status: int, command: str, wanted: str) -> str:
    """A command's output in the guest; a failed command or an output unlike `wanted` is a StepError."""
    try:
        answer = console.ask(command)
    except ConsoleError as error:
        raise StepError(status, f"no answer to {command!r}: {error}") from error
    if answer.status != 0 or not re.fullmatch(wanted, answer.output):
        raise StepError(status, f"{command!r} in the guest gave {answer.output!r}, status {answer.status}")
    return answer.output


def ask_guest(console: SerialConsole, cpus: int, memory_mib: int, say: Callable[[str], None]) -> None:
    """Asks the guest's shell about itself, and says what it answered.

    Args:
        console: The serial port; the shell's prompt has been seen.
        cpus: How many CPUs the guest was given.
        memory_mib: How much memory it was given, in MiB.
        say: Takes a line for each answer.

    Raises:
        StepError: an answer is missing or can't be right.
    """
    say(f"kernel version: {_ask(console, STATUS_KERNEL, 'uname -r', KERNEL_RELEASE)}")
    seen = int(_ask(console, STATUS_CPUS, "nproc", r"[0-9]+"))
    if seen != cpus:
        raise StepError(STATUS_CPUS, f"the guest sees {seen} CPUs, it was given {cpus}")
    say(f"CPUs: {seen}")
    total = _ask(console, STATUS_MEMORY, "grep MemTotal: /proc/meminfo", r"MemTotal: +[0-9]+ kB")
    seen_mib = int(total.split()[1]) // 1024
    if not memory_mib * 3 // 4 <= seen_mib <= memory_mib:
        raise StepError(STATUS_MEMORY, f"the guest sees {seen_mib} MiB of memory, it was given {memory_mib}")
    say(f"memory: {seen_mib} MiB usable of {memory_mib} MiB")
    clock = "cat /sys/devices/system/clocksource/clocksource0/current_clocksource"
    say(f"clock source: {_ask(console, STATUS_CLOCK, clock, '[a-z][-_a-z0-9]*')}")
    # The guest hashes a number it couldn't know before with one that only it knows: no recording can do that.
    challenge = secrets.token_hex(16)
    own_number = "/proc/sys/kernel/random/boot_id"
    boot_id = _ask(console, STATUS_NONCE, f"cat {own_number}", "[0-9a-f-]{36}")
    command = f"echo {challenge} | cat - {own_number} | sha256sum"
    nonce = _ask(console, STATUS_NONCE, command, "[0-9a-f]{64} +-").split()[0]
    if nonce != hashlib.sha256(f"{challenge}\n{boot_id}\n".encode()).hexdigest():
        raise StepError(STATUS_NONCE, f"the guest answered {challenge} with {nonce}, which isn't its hash")
    say(f"nonce computed in the guest: {nonce}")


def read_random_numbers(console: SerialConsole, say: Callable[[str], None]) -> None:
    """Reads random bytes that the VM's entropy device gives the guest.

    Raises:
        StepError: There are none, or the same twice.
    """
    command = f"head -c {RANDOM_BYTES} {RANDOM_DEVICE} | od -An -v -tx1 | tr -d ' \\n'; echo"
    first, second = (
        _ask(console, STATUS_RANDOM, command, f"[0-9a-f]{{{2 * RANDOM_BYTES}}}") for _ in range(2)
    )
    if first == second:
        raise StepError(STATUS_RANDOM, f"{RANDOM_DEVICE} gave {first} twice")
    say(f"from the host's random numbers: {first}")


def keep_a_file(console: SerialConsole, say: Callable[[str], None]) -> None:
    """Writes a file to the root disk, mounts that anew, and reads the file back from the disk itself.

    Raises:
        StepError: The root isn't a disk that can be written, or the file is another one.
    """
    root = "grep ' / ' /proc/mounts"
    disk = _ask(console, STATUS_DISK, root, "/dev/vda / ext4 rw,.*").split()[0]
    content = secrets.token_hex(16)
    _ask(console, STATUS_DISK, f"echo {content} >{KEPT_FILE}", "")
    _ask(console, STATUS_DISK, f"mount -o remount,ro / && {DROP_CACHES} && mount -o remount,rw /", "")
    read = _ask(console, STATUS_DISK, f"cat {KEPT_FILE}", "[0-9a-f]*")
    if read != content:
        raise StepError(STATUS_DISK, f"{content} was written to {disk}, {read!r} was read")
    say(f"written to {disk}, remounted, read back: {read}")


def show_processes(vmm: subprocess.Popen[bytes], qmp_path: Path, say: Callable[[str], None]) -> None:
    """Says which processes the VM is made of.

    Raises:
        StepError: QMP doesn't tell, or a device has none.
    """
    try:
        devices = device_processes(qmp_path)
        lines = table(vmm.pid, devices)
    except ProcessTableError as error:
        raise StepError(STATUS_PROCESSES, f"no process table: {error}") from error
    if not devices:
        raise StepError(STATUS_PROCESSES, "no process table: the VM has no device")
    for line in lines:
        say(line)


def power_off(console: SerialConsole, vmm: subprocess.Popen[bytes], say: Callable[[str], None]) -> None:
    """Powers the guest off and waits for the VMM to end.

    Raises:
        StepError: either didn't happen, or the VMM failed.
    """
    try:
        console.send("poweroff\n")
        console.wait_for(r"reboot: Power down", POWER_OFF_DEADLINE_S)
        console.read_to_end(POWER_OFF_DEADLINE_S)
    except ConsoleError as error:
        raise StepError(STATUS_POWER_OFF, f"the guest didn't power off: {error}") from error
    try:
        status = vmm.wait(POWER_OFF_DEADLINE_S)
    except subprocess.TimeoutExpired as error:
        raise StepError(STATUS_VMM_EXIT, "the guest powered off, but its VMM goes on") from error
    if status != 0:
        raise StepError(STATUS_VMM_EXIT, f"the guest powered off, but its VMM ended with status {status}")
    say("powered off")


@contextlib.contextmanager
def guest_at_its_shell(
    vmm_command: Sequence[str], say: Callable[[str], None]
) -> Iterator[tuple[SerialConsole, subprocess.Popen[bytes]]]:
    """A guest that has booted, and its VMM, which is gone afterwards.

    Args:
        vmm_command: Starts the VMM with the guest's serial port on its standard input and output.
        say: Takes lines of progress.

    Raises:
        StepError: The VMM doesn't start, or the guest doesn't come to its shell.
    """
    ours, theirs = socket.socketpair()
    with ours:
        try:
            with theirs:
                vmm = subprocess.Popen(vmm_command, stdin=theirs.fileno(), stdout=theirs.fileno())
        except OSError as error:
            raise StepError(STATUS_START, f"{vmm_command[0]} doesn't start: {error.strerror}") from error
        try:
            console = SerialConsole(ours.fileno(), ours.fileno())
            try:
                console.wait_for_prompt(BOOT_DEADLINE_S)
            except ConsoleError as error:
                raise StepError(STATUS_SHELL, f"the guest gives no shell: {error}") from error
            say("the guest is at its shell")
            # What the kernel says on the console from now on would be taken for answers.
            _ask(console, STATUS_SHELL, "dmesg -n 1", "")
            yield console, vmm
        finally:
            vmm.kill()
            vmm.wait()


def first_boot(
    vmm_command: Sequence[str], qmp_path: Path, cpus: int, memory_mib: int, say: Callable[[str], None]
) -> None:
    """Boots a guest with a root disk, holds the dialogue with it and powers it off.

    Args:
        vmm_command: Starts the VMM, as for guest_at_its_shell().
        qmp_path: Where it has QMP then.
        cpus: How many CPUs that gives the guest.
        memory_mib: How much memory, in MiB.
        say: Takes lines of progress.

    Raises:
        StepError: a step didn't happen; the VMM is gone then, too.
    """
    with guest_at_its_shell(vmm_command, say) as (console, vmm):
        ask_guest(console, cpus, memory_mib, say)
        keep_a_file(console, say)
        show_processes(vmm, qmp_path, say)
        power_off(console, vmm, say)


def boot_with_entropy(vmm_command: Sequence[str], qmp_path: Path, say: Callable[[str], None]) -> None:
    """Boots a guest with an entropy device, reads from that, and powers the guest off.

    Args:
        vmm_command: Starts the VMM, as for guest_at_its_shell().
        qmp_path: Where it has QMP then.
        say: Takes lines of progress.

    Raises:
        StepError: as first_boot().
    """
    with guest_at_its_shell(vmm_command, say) as (console, vmm):
        read_random_numbers(console, say)
        show_processes(vmm, qmp_path, say)
        power_off(console, vmm, say)
