"""The command `tools/root_disk/make`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.build_cache import CacheError
from tools.debian_kernel.package import PackageError
from tools.root_disk.disk import RootDiskError, copy_of, root_disk

DESCRIPTION = """Make a root disk of Debian from Debian's packages, without being root and without booting
anything, and print the ext4 image's path: a root shell on the serial port, apt, fio. The image is cached and
shared: give a guest that writes to it a copy (--copy)."""


def main(arguments: Sequence[str]) -> int:
    """Makes the disk and prints its path; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tools/root_disk/make", description=DESCRIPTION)
    parser.add_argument(
        "--copy",
        type=Path,
        metavar="FILE",
        help="make a copy in a file that doesn't exist yet, and print nothing",
    )
    options = parser.parse_args(arguments)
    if options.copy is not None and os.path.lexists(options.copy):
        what = "a directory" if options.copy.is_dir() else "there already, and maybe somebody's disk"
        print(f"root_disk: --copy {options.copy}: it is {what}; allowed is a new file", file=sys.stderr)
        return 1
    try:
        disk = root_disk()
        if options.copy is None:
            print(disk)
        else:
            copy_of(disk, options.copy)
    except (CacheError, PackageError, RootDiskError) as error:
        print(f"root_disk: {error}", file=sys.stderr)
        return 1
    return 0
