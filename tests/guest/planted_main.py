"""The main process of a VM, but that it has taken along what it isn't to have.

python -m tests.guest.planted_main PLANT FOLDER OPTION...: the options are Bulkhead's.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import sys
from collections.abc import Callable
from pathlib import Path

OTHER_VMS_MEMORY = "other"  # in the folder: a link to the descriptor of its main
DISK, LOG = "disk.img", "log"
_KVM_CREATE_VM = 0xAE01

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


if __name__ == "__main__":
    plant(sys.argv[1], Path(sys.argv[2]))
    from vmm_main.start import main

    sys.exit(main(sys.argv[3:]))
