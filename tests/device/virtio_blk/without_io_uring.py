"""Runs a command as on a host without io_uring: under a filter like those of containers, which refuse it.

python -m tests.device.virtio_blk.without_io_uring COMMAND...
"""

from __future__ import annotations

import errno
import os
import sys

import pyseccomp  # type: ignore[import-untyped]


def refuse_io_uring() -> None:
    """For this process and all that it starts."""
    filters = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    filters.add_rule(pyseccomp.ERRNO(errno.EPERM), "io_uring_setup")
    filters.load()


if __name__ == "__main__":
    refuse_io_uring()
    os.execvp(sys.argv[1], sys.argv[1:])
