"""The command `tools/kvm_lab/run`: its options, and what it says."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.build_cache import CacheError
from tools.debian_kernel.busybox import BusyboxError
from tools.debian_kernel.module_order import ModuleError
from tools.debian_kernel.package import PackageError
from tools.kvm_lab.box_image import box_image
from tools.kvm_lab.box_run import (
    STATUS_BOX_FAILED,
    BoxError,
    BoxProgram,
    NotBroughtBackError,
    run_in_box,
)
from tools.kvm_lab.request import BoxRequest

DESCRIPTION = """Run a command on a machine with real KVM: a virtual PC of QEMU whose software CPU has AMD's
virtualisation, under Debian's kernel. It sees this machine's files, which it can't change (its own changes
are gone afterwards), runs as root in the same directory with the same environment, and has no network. Its
/scratch is an ext4 disk. It is 20 to 50 times slower than a real host: for correctness, not for timing."""

EPILOG = """The exit status is the command's own; 128 + N if signal N ended it, 124 if it ran out of time, 125
if the box failed, 123 if it ended with 0 but left nothing to bring back. With standard input and output on a
terminal, the command gets one too."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="tools/kvm_lab/run", description=DESCRIPTION, epilog=EPILOG)
    made.add_argument(
        "--timeout", type=float, default=1800.0, metavar="S", help="seconds the command may run (%(default)g)"
    )
    made.add_argument(
        "--bring-back",
        action="append",
        default=[],
        metavar="PATH",
        help="copy PATH out when the command has ended",
    )
    made.add_argument(
        "--writable",
        action="append",
        default=[],
        metavar="DIR",
        help="let the command change this directory at once",
    )
    made.add_argument(
        "--memory", type=int, default=4096, metavar="MIB", help="the box's memory (%(default)d)"
    )
    made.add_argument("--cpus", type=int, default=2, metavar="N", help="the box's CPUs (%(default)d)")
    made.add_argument("-v", "--verbose", action="store_true", help="show the box's console on standard error")
    made.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run; default: a shell"
    )
    return made


def say(message: str) -> None:
    """A line of progress, for a person who waits; nothing where standard error isn't a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"kvm_lab: {message}\r\n")


def complain(message: str, status: int = STATUS_BOX_FAILED) -> int:
    """Says what went wrong, and returns the exit status for it."""
    sys.stderr.write(f"kvm_lab: {message}\n")
    return status


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status."""
    options = parser().parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    writable = [Path(path).resolve() for path in options.writable]
    for directory in writable:
        if not directory.is_dir():
            return complain(f"--writable {directory}: not a directory")
    try:
        image = box_image()
        request = BoxRequest(
            command=command or [os.environ.get("SHELL", "/bin/sh")],
            directory=Path.cwd(),
            environment=dict(os.environ),
            timeout_s=options.timeout,
            bring_back=[Path(path).absolute() for path in options.bring_back],
            writable=writable,
            memory_mib=options.memory,
            cpus=options.cpus,
            verbose=options.verbose,
        )
        return run_in_box(BoxProgram(image / "kernel", image / "initramfs"), request, say)
    except NotBroughtBackError as error:
        return complain(str(error), error.status)
    except (CacheError, PackageError, ModuleError, BusyboxError, BoxError) as error:
        return complain(str(error))
    except FileNotFoundError as error:
        return complain(
            f"{error.filename} is missing: apt-get install -y qemu-system-x86 e2fsprogs util-linux"
        )
    except subprocess.CalledProcessError as error:
        return complain(f"{error.cmd[0]} failed with status {error.returncode}")
