"""Starts device processes without zygote and jail, for what is about neither."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from device_procs.device_module import DeviceModule

PROGRAM = Path(__file__).with_name("plain_program.py")


def start_plain(module: DeviceModule, control_fd: int, black_box_fd: int) -> int:
    """What a DeviceRig starts its process with."""
    arguments = [sys.executable, "-S", str(PROGRAM), module.kind, str(control_fd), str(black_box_fd)]
    for fd in (control_fd, black_box_fd):
        os.set_inheritable(fd, True)
    path = os.pathsep.join(path for path in sys.path if path)
    return os.posix_spawn(sys.executable, arguments, {**os.environ, "PYTHONPATH": path})
