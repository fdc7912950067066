"""The Debian packages that a checkout needs, and their installation where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable


class SetupError(Exception):
    """The machine lacks something that can't be installed from here; the message says what to do."""


# Package -> what it is for. What Debian always has (dpkg, tar, util-linux) isn't listed.
FOR_BUILDING = {
    "gcc": "the C half of the virtual machine monitor",
    "libc6-dev": "its headers",
    "liburing-dev": "the disk's I/O by io_uring",
    "libseccomp2": "compiles the system call filters",
    "linux-libc-dev": "<linux/kvm.h>",
    "musl-tools": "the `bulkhead` command, without libraries",
    "python3": "Python 3.11",
    "python3-dev": "Python.h, for the C extension",
    "python3-venv": "the virtual environment in the checkout",
    "git": "the commit that `bulkhead --version` names",
}
FOR_THE_GUEST = {
    "binutils": "objcopy: the kernel as a flat image",
    "busybox-static": "the guest's user space",
    "e2fsprogs": "mke2fs: its root disk",
    "fakeroot": "who owns what on it",
    "lz4": "the ELF kernel in a bzImage",
}
FOR_THE_BOX = {
    "busybox-static": "the box's first programs",
    "e2fsprogs": "mkfs.ext4: the box's scratch disk",
    "qemu-system-x86": "the KVM host in a box",
}
FOR_BENCHMARKS = {
    "qemu-system-common": "qemu-storage-daemon, which serves disks as Bulkhead's device does",
    "qemu-system-x86": "the VMM that every benchmark compares with",
}
FOR_FUZZING = {
    "clang-14": "compiles what is fuzzed",
    "libclang-rt-14-dev": "its sanitizers",
    "libfuzzer-14-dev": "the fuzzer of the devices' C",
    "llvm-14": "names of functions in what it says",
}
FOR_TESTS = {
    **FOR_FUZZING,
    "acpica-tools": "iasl and acpiexec: the guest's ACPI tables",
    "procps": "ps and kill, as tests use them",
    "qemu-system-common": "qemu-storage-daemon, for the disk benchmark's own tests",
    "strace": "which rules of the system call filters are used",
}


def missing(packages: Iterable[str]) -> list[str]:
    """Those that aren't installed, in alphabetical order.

    Raises:
        SetupError: this isn't a Debian system.
    """
    wanted = sorted(set(packages))
    try:
        asked = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise SetupError("this isn't Debian: install by hand what README lists under Requirements") from error
    installed = {line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def privilege() -> list[str] | None:
    """What goes before a command that needs root: nothing as root, sudo where it works, None if neither."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    # On a terminal sudo may ask for a password; without one, only a sudo that doesn't ask is of use.
    if sys.stdin.isatty():
        return ["sudo"]
    asked = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return ["sudo", "-n"] if asked.returncode == 0 else None


def install_missing(packages: Iterable[str], say: Callable[[str], None]) -> None:
    """Installs what is missing, as root or with sudo.

    Raises:
        SetupError: neither is possible (the message has the command to type), or apt fails.
    """
    names = missing(packages)
    if not names:
        return
    before = privilege()
    if before is None:
        raise SetupError(
            "these Debian packages are missing; this installs them: sudo apt-get update && "
            f"sudo apt-get install -y --no-install-recommends {' '.join(names)}"
        )
    say(f"installing Debian packages: {' '.join(names)}")
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", *names],
    ):
        quiet = ["env", "DEBIAN_FRONTEND=noninteractive", *command]
        ran = subprocess.run([*before, *quiet], stdout=subprocess.DEVNULL, check=False)
        if ran.returncode != 0:
            raise SetupError(f"{' '.join(command)} failed with status {ran.returncode}")
