"""The command `tools/guest_image/make`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tools.build_cache import CacheError
from tools.debian_kernel.busybox import BusyboxError
from tools.debian_kernel.module_order import ModuleError
from tools.debian_kernel.package import PackageError
from tools.guest_image.image import guest_image
from tools.guest_image.vmlinux import KernelFormatError

DESCRIPTION = """Make the guest that tests and quickstart boot, from Debian's packages, without being root and
without booting anything, and print the directory that holds it: bzImage, vmlinux (ELF with PVH note),
vmlinux.bin (flat, for 16 MiB), initramfs (busybox, the virtio modules, a shell on the console), and
disk-initramfs (the modules, then over to the disk that root= names; tools/root_disk/make makes one)."""


def main(arguments: Sequence[str]) -> int:
    """Makes the image and prints its directory; returns the exit status."""
    argparse.ArgumentParser(prog="tools/guest_image/make", description=DESCRIPTION).parse_args(arguments)
    try:
        print(guest_image().directory)
    except (CacheError, PackageError, ModuleError, BusyboxError, KernelFormatError) as error:
        print(f"guest_image: {error}", file=sys.stderr)
        return 1
    return 0
