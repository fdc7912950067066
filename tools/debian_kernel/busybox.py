"""The static busybox of Debian's package busybox-static, as the user space of an initramfs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools.debian_kernel.initramfs import Initramfs

BUSYBOX = Path("/bin/busybox")


class BusyboxError(Exception):
    """There is no busybox, or it can't run without libraries."""


def busybox_content() -> bytes:
    """The program; raises BusyboxError if it is missing or dynamically linked."""
    try:
        content = BUSYBOX.read_bytes()
    except FileNotFoundError as error:
        raise BusyboxError(f"{BUSYBOX} is missing: apt-get install -y busybox-static") from error
    if b"/ld-linux" in content:
        raise BusyboxError(f"{BUSYBOX} needs shared libraries: apt-get install -y busybox-static")
    return content


def add_busybox(archive: Initramfs) -> None:
    """Adds /bin/busybox and a link in /bin for each of its commands."""
    archive.file("bin/busybox", busybox_content(), 0o755)
    listed = subprocess.run([str(BUSYBOX), "--list"], capture_output=True, text=True, check=True)
    for command in listed.stdout.split():
        if command != "busybox":
            archive.symlink(f"bin/{command}", "busybox")
