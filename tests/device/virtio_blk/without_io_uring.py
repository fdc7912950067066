"""Runs a command as on a host without io_uring: under a filter like those of containers, which refuse it.

python -m tests.device.virtio_blk.without_io_uring COMMAND...
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pyseccomp  # type: ignore[import-untyped]

CHECKOUT = Path(__file__).resolve().parents[3]


def refuse_io_uring() -> None:
    """For this process and all that it starts."""
    filters = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    filters.add_rule(pyseccomp.ERRNO(errno.EPERM), "io_uring_setup")
    filters.load()


def without_io_uring(*command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command so, in the checkout."""
    filtered = (sys.executable, "-m", "tests.device.virtio_blk.without_io_uring")
    return subprocess.run([*filtered, *command], cwd=CHECKOUT, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    refuse_io_uring()
    os.execvp(sys.argv[1], sys.argv[1:])
