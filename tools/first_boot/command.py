"""The command `tools/quickstart`: from a fresh clone to a guest's shell."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.build_cache import CacheError
from tools.debian_kernel.busybox import BusyboxError
from tools.debian_kernel.module_order import ModuleError
from tools.debian_kernel.package import PackageError
from tools.first_boot.dialogue import StepError, first_boot
from tools.guest_image.image import GuestImage, guest_image
from tools.guest_image.vmlinux import KernelFormatError
from tools.setup import debian_packages
from tools.setup.debian_packages import SetupError
from tools.setup.environment import prepare_environment
from tools.setup.host_kind import host_kind

CHECKOUT = Path(__file__).resolve().parents[2]
STATUS_SETUP = 1

DESCRIPTION = """Install what is missing, build Bulkhead, make a small Debian guest and boot it. On a terminal
you get the guest's shell: `poweroff` or Ctrl-A x ends the VM, Ctrl-A h helps. Without one, a script asks the
guest about itself and powers it off. Where /dev/kvm can't run Linux, it all happens in a KVM host in a box
(tools/kvm_lab), slowly."""

EPILOG = """Exit status: 0 if everything happened; 1 setup failed, 10 the VMM doesn't start, 11 no shell in
the guest, 12 to 16 no or a wrong answer about kernel, CPUs, memory, clock source, nonce; 17 no power-off,
18 the VMM failed; 19 no random numbers, 20 no process table; 124 out of time, 125 the box failed; 128 + N
signal N ended the VMM."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="tools/quickstart", description=DESCRIPTION, epilog=EPILOG)
    made.add_argument("--cpus", type=int, default=2, metavar="N", help="the guest's CPUs (%(default)d)")
    made.add_argument(
        "--memory", type=int, default=512, metavar="MIB", help="the guest's memory (%(default)d)"
    )
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
        "--boot-only", metavar="DIR", help="no setup, no box: boot the guest whose files are in DIR"
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


def vmm_command(vmm: str, image: GuestImage, cpus: int, memory_mib: int) -> list[str]:
    """Starts the VMM with the guest's serial port on its standard input and output."""
    command = [vmm, "-machine", "microvm", "-smp", str(cpus), "-m", str(memory_mib)]
    command += ["-kernel", str(image.bzimage), "-initrd", str(image.initramfs)]
    command += ["-object", "rng-random,id=host,filename=/dev/urandom"]
    command += ["-device", "virtio-rng-device,rng=host,id=rng0"]
    return [*command, "-append", "console=ttyS0 quiet", "-serial", "stdio"]


def boot(options: argparse.Namespace, image: GuestImage, say: Progress) -> int:
    """Boots the guest on this machine; on a terminal, in this process's place."""
    command = vmm_command(options.vmm, image, options.cpus, options.memory)
    if os.isatty(0) and os.isatty(1):
        say("booting; Ctrl-A x ends the VM, Ctrl-A h helps")
        return os.execv(command[0], command)
    say("booting")
    try:
        first_boot(command, options.cpus, options.memory, say)
    except StepError as error:
        say(f"failed: {error}")
        return error.status
    return 0


def boot_in_box(options: argparse.Namespace, image: GuestImage) -> int:
    """Boots the guest in the box, whose standard streams are this process's."""
    inner = [
        str(CHECKOUT / "tools" / "quickstart"),
        "--boot-only",
        str(image.directory),
        "--vmm",
        options.vmm,
    ]
    inner += ["--cpus", str(options.cpus), "--memory", str(options.memory)]
    inner += ["--began-at", f"{options.began_at:.1f}"]
    lab = str(CHECKOUT / "tools" / "kvm_lab" / "run")
    # A person may stay at the shell as long as they like; a script may not.
    timeout_s = 7 * 24 * 3600 if os.isatty(0) else 1200
    box_memory_mib = max(4096, options.memory + 2048)
    return os.execv(lab, [lab, "--timeout", str(timeout_s), "--memory", str(box_memory_mib), "--", *inner])


def main(arguments: Sequence[str]) -> int:
    """Runs quickstart; returns the exit status."""
    options = parser().parse_args(arguments)
    say = Progress(options.began_at)
    if options.boot_only is not None:
        return boot(options, GuestImage(Path(options.boot_only)), say)
    packages = [*debian_packages.FOR_BUILDING, *debian_packages.FOR_THE_GUEST]
    host = host_kind()
    in_box = options.box or not host.runs_linux
    try:
        debian_packages.install_missing(packages + (list(debian_packages.FOR_THE_BOX) if in_box else []), say)
        prepare_environment(CHECKOUT, "", say)
        say("making the guest from Debian's packages, unless it is in ~/.cache/bulkhead")
        image = guest_image()
    except (SetupError, CacheError, PackageError, ModuleError, BusyboxError, KernelFormatError) as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return STATUS_SETUP
    if not in_box:
        return boot(options, image, say)
    say(f"{host.sentence}; booting in a KVM host in a box instead, which is slow")
    return boot_in_box(options, image)
