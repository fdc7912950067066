"""Which of the two back ends a disk of this host has."""

from __future__ import annotations

import os

from device_procs.data_plane._data_plane import ffi, lib


def engine_here() -> str:
    """Whether this process could make a ring of io_uring: "io_uring", else "preadv"."""
    backend = ffi.new("struct disk_backend *")
    fd = os.open("/dev/null", os.O_RDWR)
    try:
        if lib.disk_uring_init(backend, fd, -1, 8) < 0:
            return "preadv"
        os.close(backend.wait_fd)
        return "io_uring"
    finally:
        os.close(fd)
