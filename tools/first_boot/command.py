"""The command `tools/quickstart`: from a fresh clone to a guest's shell."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.build_cache import CacheError
from tools.debian_kernel.busybox import BusyboxError
from tools.debian_kernel.module_order import ModuleError
from tools.debian_kernel.package import PackageError
from tools.first_boot.dialogue import STATUS_START, StepError, boot_with_entropy, first_boot
from tools.guest_image.image import GuestImage, guest_image
from tools.guest_image.vmlinux import KernelFormatError
from tools.root_disk.disk import RootDiskError, copy_of, root_disk
from tools.setup import debian_packages
from tools.setup.debian_packages import SetupError
from tools.setup.environment import prepare_environment
from tools.setup.host_kind import host_kind

CHECKOUT = Path(__file__).resolve().parents[2]
STATUS_SETUP = 1

# What a VM has where nobody says otherwise.
DEFAULT_CPUS = 1
DEFAULT_MEMORY_MIB = 256

DESCRIPTION = """Install what is missing, build Bulkhead, make a small Debian guest with a root disk and boot
it, as the specification's example of a light VM does. On a terminal you get the guest's shell: `poweroff` or
Ctrl-A x ends the VM, Ctrl-A h helps. Without one, a script asks the guest about itself and powers it off, and
does so again with a VM that has an entropy device. The disk is a copy, which goes with the VM. Where /dev/kvm
can't run Linux, it all happens in a KVM host in a box (tools/kvm_lab), slowly."""

EPILOG = """Exit status: 0 if everything happened; 1 setup failed, 10 the VMM doesn't start, 11 no shell in
the guest, 12 to 16 no or a wrong answer about kernel, CPUs, memory, clock source, nonce; 17 no power-off,
18 the VMM failed; 19 no random numbers, 20 no process table, 21 the disk doesn't keep a file; 124 out of
time, 125 the box failed; 128 + N signal N ended the VMM."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="tools/quickstart", description=DESCRIPTION, epilog=EPILOG)
    made.add_argument("--cpus", type=int, metavar="N", help=f"the guest's CPUs ({DEFAULT_CPUS})")
    made.add_argument("--memory", type=int, metavar="MIB", help=f"its memory ({DEFAULT_MEMORY_MIB})")
    made.add_argument("--box", action="store_true", help="use the box even where /dev/kvm runs Linux")
    made.add_argument(
        "--vmm",
        default=str(CHECKOUT / ".venv" / "bin" / "bulkhead"),
        metavar="PROGRAM",
        help="boot with this",
    )
    # What the quickstart outside tells the one in the box, so that its clock goes on.
    made.add_argument("--began-at", type=float, default=time.time(), help=argparse.SUPPRESS)
    made.add_argument(
        "--boot-only",
        nargs=2,
        metavar=("DIR", "DISK"),
        type=Path,
        help="no setup, no box: boot the guest whose files are in DIR, with a copy of DISK",
    )
    return made


class Progress:
    """Says what happens, with the seconds since the start."""

    def __init__(self, began_at: float) -> None:
        """Counts from began_at (time.time()), by whose clock the box's is set when it boots."""
        self._before_s = max(0.0, time.time() - began_at)
        self._made_at = time.monotonic()

    def __call__(self, message: str) -> None:
        """Says one thing."""
        print(f"[{self._before_s + time.monotonic() - self._made_at:5.1f} s] {message}", flush=True)


def vmm_command(options: argparse.Namespace, image: GuestImage, disk: Path, qmp_path: Path) -> list[str]:
    """The specification's example of a light VM, word for word but for the paths and -initrd.

    That one is needed because Debian has virtio's drivers as modules. What a user asks for comes behind it.
    """
    command = [options.vmm, "-kernel", str(image.flat)]
    command += ["-append", "console=ttyS0", "root=/dev/vda", "rw", "reboot=k", "panic=1"]
    command += ["-drive", f"file={_escaped(disk)},id=rootfs,readonly=false"]
    command += ["-device", "virtio-blk-device,drive=rootfs"]
    command += ["-qmp", f"unix:{_escaped(qmp_path)},server,nowait"]
    command += ["-serial", "stdio"]
    command += ["-initrd", str(image.disk_initramfs)]
    if options.cpus is not None:
        command += ["-smp", str(options.cpus)]
    if options.memory is not None:
        command += ["-m", str(options.memory)]
    return command


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def entropy_command(options: argparse.Namespace, image: GuestImage, qmp_path: Path) -> list[str]:
    """A VM that lives in its initramfs and has an entropy device."""
    command = [options.vmm, "-kernel", str(image.flat), "-initrd", str(image.initramfs)]
    command += ["-append", "console=ttyS0", "reboot=k", "panic=1", "-serial", "stdio"]
    command += ["-object", "rng-random,id=host,filename=/dev/urandom"]
    command += ["-device", "virtio-rng-device,rng=host,id=rng0"]
    return [*command, "-qmp", f"unix:{_escaped(qmp_path)},server,nowait"]


def boot(options: argparse.Namespace, image: GuestImage, disk: Path, say: Progress) -> int:
    """Boots the guest on this machine, with a copy of the disk."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-") as directory:
        copy, qmp_path = Path(directory) / disk.name, Path(directory) / "qmp"
        try:
            copy_of(disk, copy)
        except RootDiskError as error:
            say(f"failed: {error}")
            return STATUS_SETUP
        command = vmm_command(options, image, copy, qmp_path)
        if os.isatty(0) and os.isatty(1):
            say(f"booting; Ctrl-A x ends the VM, Ctrl-A h helps: {shlex.join(command)}")
            return attend(command)
        cpus, memory_mib = options.cpus or DEFAULT_CPUS, options.memory or DEFAULT_MEMORY_MIB
        try:
            say(f"booting: {shlex.join(command)}")
            first_boot(command, qmp_path, cpus, memory_mib, say)
            command = entropy_command(options, image, qmp_path)
            say(f"another VM, with an entropy device: {shlex.join(command)}")
            boot_with_entropy(command, qmp_path, say)
        except StepError as error:
            say(f"failed: {error}")
            return error.status
    return 0


def attend(command: Sequence[str]) -> int:
    """Runs the VMM on this terminal; returns its exit status, as a shell would."""
    # What a key sends reaches the VMM by itself; these are waited for, and passed on.
    awaited = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        vmm = subprocess.Popen(
            command,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, awaited),  # noqa: PLW1509 (no threads)
        )
    except OSError as error:
        print(f"quickstart: {command[0]} doesn't start: {error.strerror}", file=sys.stderr)
        return STATUS_START
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (status := vmm.poll()) is None:
        number = signal.sigwait(awaited)
        if number != signal.SIGCHLD:
            vmm.send_signal(number)
    return status if status >= 0 else 128 - status


def boot_in_box(options: argparse.Namespace, image: GuestImage, disk: Path) -> int:
    """Boots the guest in the box, whose standard streams are this process's."""
    inner = [str(CHECKOUT / "tools" / "quickstart"), "--boot-only", str(image.directory), str(disk)]
    inner += ["--vmm", options.vmm, "--began-at", f"{options.began_at:.1f}"]
    inner += [] if options.cpus is None else ["--cpus", str(options.cpus)]
    inner += [] if options.memory is None else ["--memory", str(options.memory)]
    lab = str(CHECKOUT / "tools" / "kvm_lab" / "run")
    # A person may stay at the shell as long as they like; a script may not.
    timeout_s = 7 * 24 * 3600 if os.isatty(0) else 1200
    box_memory_mib = max(4096, (options.memory or DEFAULT_MEMORY_MIB) + 2048)
    # The copy of the disk goes to the box's own disk: what is written elsewhere there is held in its memory.
    os.environ["TMPDIR"] = "/scratch"
    return os.execv(lab, [lab, "--timeout", str(timeout_s), "--memory", str(box_memory_mib), "--", *inner])


def main(arguments: Sequence[str]) -> int:
    """Runs quickstart; returns the exit status."""
    options = parser().parse_args(arguments)
    say = Progress(options.began_at)
    if options.boot_only is not None:
        directory, disk = options.boot_only
        return boot(options, GuestImage(directory), disk, say)
    packages = [*debian_packages.FOR_BUILDING, *debian_packages.FOR_THE_GUEST]
    host = host_kind()
    in_box = options.box or not host.runs_linux
    try:
        debian_packages.install_missing(packages + (list(debian_packages.FOR_THE_BOX) if in_box else []), say)
        prepare_environment(CHECKOUT, "", say)
        say("making the guest from Debian's packages, unless it is in ~/.cache/bulkhead")
        image, disk = guest_image(), root_disk()
    except (
        RootDiskError,
        SetupError,
        CacheError,
        PackageError,
        ModuleError,
        BusyboxError,
        KernelFormatError,
    ) as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return STATUS_SETUP
    if not in_box:
        return boot(options, image, disk, say)
    say(f"{host.sentence}; booting in a KVM host in a box instead, which is slow")
    return boot_in_box(options, image, disk)
