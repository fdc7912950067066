"""Makes the kernel write a process's core where a test finds it, if this machine is set up so that it can."""

from __future__ import annotations

import resource
import signal
import subprocess
from pathlib import Path

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
_ET_CORE = 4  # e_type (elf(5))


def cores_go_to_working_directory(pattern: str, hard_limit: int) -> bool:
    """Whether a core lands in its process's working directory, uncut (core(5)).

    Args:
        pattern: The content of /proc/sys/kernel/core_pattern. It may name a program, a socket, or another
            directory: systemd-coredump, apport and their like take cores from there, and may be out of reach.
        hard_limit: RLIMIT_CORE's, which only root could raise.
    """
    return not pattern.startswith(("|", "@")) and "/" not in pattern and hard_limit == resource.RLIM_INFINITY


def abort(process: subprocess.Popen[bytes], directory: Path) -> Path:
    """Ends a process by SIGABRT and returns its core, the only one in directory, where it was working."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(process.pid, resource.RLIMIT_CORE, unlimited)
    process.send_signal(signal.SIGABRT)
    assert process.wait(120) == -signal.SIGABRT
    (core,) = (path for path in directory.iterdir() if path.is_file() and _is_core(path))
    return core


def _is_core(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(18)
    return header[:4] == b"\x7fELF" and int.from_bytes(header[16:18], "little") == _ET_CORE
