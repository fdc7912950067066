"""The files of the program itself, which its processes may have mapped."""

from __future__ import annotations

import os
from collections.abc import Iterator

from .process import Process

_MAINS = "vmm_main/kvm/_kvm.abi3.so"
_DEVICES = "device_procs/data_plane/_data_plane.abi3.so"

FileIdentity = tuple[int, int]


def mapped_by(process: Process) -> set[FileIdentity]:
    """Device and inode of every file that it has mapped, shared memory aside."""
    return {
        (mapping.device, mapping.inode)
        for mapping in process.mappings
        if mapping.inode and not (mapping.is_shared and mapping.is_writable)
    }


def devices_library(main: Process) -> Iterator[FileIdentity]:
    """The library that devices have and main hasn't: beside main's own, in the same installation.

    A zygote has it mapped too, but there may be none: one that has died is replaced when a device dies. That
    main's library is still where main has mapped it from is looked at: a path may mean another file by now,
    or here, and main may have mounts of its own.
    """
    for mapping in main.mappings:
        folder, ours, rest = mapping.path.rpartition(_MAINS)
        if not ours or rest:
            continue
        for start in ("", f"/proc/{main.pid}/root"):
            try:
                known = os.stat(f"{start}{mapping.path}")
                library = os.stat(f"{start}{folder}{_DEVICES}")
            except OSError:
                continue
            # Not compared with the mapping's: what stat calls a device may be a part of it (btrfs).
            if known.st_ino == mapping.inode and library.st_dev == known.st_dev:
                yield mapping.device, library.st_ino
                return
