"""Which files code may come from, and which of them can be main's program.

A file is known here by its path as /proc has it: what is mapped isn't open, and its device and inode aren't
what stat() says where a file system has several (overlayfs, btrfs).
"""

from __future__ import annotations

import glob
import os
import re
import stat

from .mappings import Mapping
from .process import Process

# Memory that the kernel gives every process; the last two can't be written to by anybody.
_KERNELS_CODE = ("[vdso]", "[vsyscall]")
# Memory that has an inode, but no file: memfd_create(2), MAP_SHARED without a file, shmget(2).
_NO_FILES = ("/memfd:", "/dev/zero", "/SYSV")
_DELETED = " (deleted)"
_ELF = b"\x7fELF"
# What libc maps of the caller's locale, where Python is started otherwise than by the bulkhead command.
_OF_LIBC = re.compile(r"/usr/lib(32|64)?/(locale/.+|(.+/)?gconv/gconv-modules\.cache)")


def is_code(process: Process, mapping: Mapping) -> bool:
    """Whether code may be mapped so: from a file that has a name, and not to be changed."""
    if mapping.path in _KERNELS_CODE:
        return True
    is_of_a_file = mapping.inode != 0 and not mapping.path.startswith(_NO_FILES)
    is_fixed = not mapping.is_writable and not mapping.is_shared
    is_there = not mapping.path.endswith(_DELETED) or bool(_places(process, mapping))
    return is_of_a_file and is_fixed and is_there


def is_programs(process: Process, mapping: Mapping) -> bool:
    """Whether a file of which main maps code can be its program's.

    That is a library or program, of root's or of who owns main's package or its Python.
    """
    owners = {0, process.entitled.get("program-uid", 0), process.files.stat("exe").st_uid}
    return any(_is_program(place, owners) for place in _places(process, mapping))


def is_libcs(mapping: Mapping) -> bool:
    """Whether it is data of libc's own."""
    return _OF_LIBC.fullmatch(mapping.path.removesuffix(_DELETED)) is not None


def _places(process: Process, mapping: Mapping) -> list[str]:
    """Where the file is: for who looks, or for the process; of one that is deleted, what has replaced it.

    An upgrade does that: libz.so.1.2.13 becomes libz.so.1.3.1, and a running VM keeps the old one.
    """
    path = mapping.path.removesuffix(_DELETED)
    roots = ("", f"/proc/{process.pid}/root")
    if path == mapping.path:
        return [f"{root}{path}" for root in roots]
    stem = path.partition(".so")[0]
    return [place for root in roots for place in glob.glob(f"{glob.escape(root + stem)}*")]


def _is_program(path: str, owners: set[int]) -> bool:
    try:
        known = os.stat(path)
    except OSError:
        return False  # it is in the other place
    if not stat.S_ISREG(known.st_mode) or known.st_uid not in owners:
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(_ELF)) == _ELF
    except PermissionError:
        return True  # whoever looks may not read what main may
