"""A process like any other, but for one thing about where it is or how it uses memory.

python -m tests.device.audit.placed_stranger PLANT FOLDER: its pid is the output; it lives until standard
input ends. What takes privileges is done in a user namespace by who hasn't them.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
from typing import NoReturn

from tests.device.audit import raw_calls


def live(plant: str, folder: str, ready: int) -> NoReturn:
    """The stranger's life."""
    if plant == "mounts":
        raw_calls.mount("", "/", "", raw_calls.MS_REC | raw_calls.MS_PRIVATE, "")
        raw_calls.mount("stranger", folder, "tmpfs", 0, "size=4k")
    elif plant == "root directory":
        os.chroot(folder)
    elif plant == "working directory":
        os.chdir(folder)
    elif plant == "Landlock":
        raw_calls.landlock_ruleset()
    elif plant == "page tables":
        raw_calls.use_sparsely(raw_calls.map_memory(-1, 4 << 30, mmap.PROT_READ, raw_calls.PRIVATE), 4 << 30)
    raw_calls.prctl(raw_calls.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.write(ready, b".")
    while True:
        signal.pause()


def main(plant: str, folder: str) -> None:
    kind = plant.removesuffix(" namespace")
    flags = raw_calls.NAMESPACES.get("mnt" if plant in ("mounts", "root directory") else kind, 0)
    if flags and os.geteuid() != 0:
        flags |= raw_calls.NAMESPACES["user"]
    is_ready, ready = os.pipe()
    pid = raw_calls.clone(flags | signal.SIGCHLD)
    if pid == 0:
        try:
            os.close(is_ready)
            live(plant, folder, ready)
        finally:
            os._exit(1)
    os.close(ready)
    assert os.read(is_ready, 1) == b".", "its own error is above"
    print(pid, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
