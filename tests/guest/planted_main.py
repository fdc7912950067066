"""The main process of a VM, but that it has taken along what it isn't to have.

python -m tests.guest.planted_main PLANT FOLDER OPTION...: the options are Bulkhead's.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from tests.device.audit import raw_calls

OTHER_VMS_MEMORY = "other"  # in the folder: a link to the descriptor of its main
DISK, LOG = "disk.img", "log"
NOBODYS_UID = 54321
_KVM_CREATE_VM = 0xAE01
_READ, _CODE = mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_EXEC

kept: list[object] = []


def plant(what: str, folder: Path) -> None:
    """Takes it along; descriptors close on exec, as main's own do."""
    if what == "memory of another VM":
        os.open(folder / OTHER_VMS_MEMORY, os.O_RDWR)
    elif what == "KVM VM":
        kvm = os.open("/dev/kvm", os.O_RDWR)
        fcntl.ioctl(kvm, _KVM_CREATE_VM, 0)
        os.close(kvm)
    elif what == "disk to write":
        os.open(folder / DISK, os.O_RDWR)
    elif what == "disk once more":
        os.open(folder / DISK, os.O_RDONLY)
    elif what == "log to read":
        os.open(folder / LOG, os.O_RDWR | os.O_CREAT)
    elif what.startswith("mapped file"):
        fd = os.open("/etc/passwd", os.O_RDONLY)
        flags = mmap.MAP_SHARED if "shared" in what else mmap.MAP_PRIVATE
        raw_calls.map_memory(fd, mmap.PAGESIZE, _CODE if "code" in what else _READ, flags)
        os.close(fd)
    elif what.startswith("code of"):
        plant_code(what, folder / "code.so")
    else:
        kept.append(make(what))


def make(what: str) -> object:
    """What is opened for its own sake."""
    made: dict[str, Callable[[], object]] = {
        "pidfd of another process": lambda: os.pidfd_open(1),
        "network socket": lambda: socket.socket(socket.AF_INET),
        "unix socket": lambda: socket.socket(socket.AF_UNIX),
        "pipe": os.pipe,
        "eventfd": lambda: os.eventfd(0, os.EFD_CLOEXEC),
        "epoll": select.epoll,
        "memfd": lambda: os.memfd_create("planted"),
        "KVM": lambda: os.open("/dev/kvm", os.O_RDWR),
    }
    return made[what]()


def plant_code(what: str, path: Path) -> None:
    """A library, mapped as code, from where code may not be."""
    shutil.copyfile(raw_calls.__file__ if "text" in what else os.readlink("/proc/self/exe"), path)
    fd = os.open(path, os.O_RDONLY)
    if "memfd" in what:
        os.close(fd)
        fd = os.memfd_create("planted")
        os.write(fd, path.read_bytes())
    if "deleted" in what:
        path.unlink()
    elif "somebody else" in what:
        os.chown(path, NOBODYS_UID, NOBODYS_UID)
    raw_calls.map_memory(fd, mmap.PAGESIZE, _CODE, mmap.MAP_PRIVATE)
    os.close(fd)


if __name__ == "__main__":
    plant(sys.argv[1], Path(sys.argv[2]))
    from vmm_main.start import main

    sys.exit(main(sys.argv[3:]))
