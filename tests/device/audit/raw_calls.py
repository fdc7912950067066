"""System calls that Python hasn't."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
from pathlib import Path

CLONE_PARENT = 0x8000
NAMESPACES = {
    "cgroup": 0x0200_0000,
    "ipc": 0x0800_0000,
    "mnt": 0x0002_0000,
    "net": 0x4000_0000,
    "pid": 0x2000_0000,
    "user": 0x1000_0000,
    "uts": 0x0400_0000,
}
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20, 0x1000, 0x4000, 0x4_0000
MNT_DETACH = 2
RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_CORE, RLIMIT_NOFILE = 1, 2, 4, 7
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
_CLONE, _PIVOT_ROOT = {"x86_64": (56, 155), "aarch64": (220, 41)}[platform.machine()]
_IO_URING_SETUP, _IO_URING_REGISTER = 425, 427
_REGISTER_FILES = 2
_IO_URING_PARAMS_BYTES = 120

_libc = ctypes.CDLL(None, use_errno=True)


def clone(flags: int) -> int:
    """A child, as by fork(); 0 in it."""
    return _checked(_libc.syscall(ctypes.c_long(_CLONE), ctypes.c_ulong(flags), None, None, None, None))


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags))


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    texts = [text.encode() for text in (source, target, kind, options)]
    _checked(_libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]))


def pivot_root_here() -> None:
    """The working directory becomes the root; the old one is let go of."""
    _checked(_libc.syscall(ctypes.c_long(_PIVOT_ROOT), b".", b"."))
    _checked(_libc.umount2(b".", MNT_DETACH))


def prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def set_capabilities(kept: int, inheritable: int) -> None:
    """The effective and the permitted set, and the inheritable one; the bounding set stays."""
    header = (ctypes.c_uint32 * 2)(0x2008_0522, 0)  # _LINUX_CAPABILITY_VERSION_3, and this thread
    sets = (ctypes.c_uint32 * 6)(kept, kept, inheritable, 0, 0, 0)
    _checked(_libc.capset(header, sets))


def empty_bounding_set() -> None:
    for number in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii")) + 1):
        prctl(PR_CAPBSET_DROP, number)


_semaphore = ctypes.create_string_buffer(64)  # of value 0


def start_waiting_thread() -> None:
    """A thread that waits for good, and has nothing to do with Python."""
    thread = ctypes.c_ulong()
    wait = ctypes.cast(_libc.sem_wait, ctypes.c_void_p)
    error = _libc.pthread_create(ctypes.byref(thread), None, wait, ctypes.byref(_semaphore))
    assert error == 0, os.strerror(error)


def limit(which: int, value: int, hard: int | None = None) -> None:
    """A resource limit, soft and hard."""
    _checked(_libc.setrlimit(which, (ctypes.c_ulong * 2)(value, value if hard is None else hard)))


def map_memory(fd: int, size: int, protection: int, flags: int) -> int:
    """Maps memory for good and returns its address; Python's own would keep a descriptor of the file."""
    _libc.mmap.restype = ctypes.c_void_p
    address: int = _libc.mmap(None, ctypes.c_size_t(size), protection, flags, fd, ctypes.c_long(0))
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return address


def use_sparsely(address: int, size: int) -> None:
    """Reads a byte of every 2 MiB: the kernel makes a page table for each, and hardly a page."""
    for byte in range(address, address + size, 2 << 20):
        ctypes.c_char.from_address(byte).value  # noqa: B018


def landlock_ruleset() -> int:
    """A set of Landlock's rules, which is in force for nobody."""
    handled = ctypes.c_uint64(1)  # LANDLOCK_ACCESS_FS_EXECUTE
    size = ctypes.c_size_t(ctypes.sizeof(handled))
    return _checked(_libc.syscall(ctypes.c_long(444), ctypes.byref(handled), size, ctypes.c_uint(0)))


def io_uring() -> int | None:
    """A ring's descriptor; None where the host has no io_uring."""
    params = ctypes.create_string_buffer(_IO_URING_PARAMS_BYTES)
    fd: int = _libc.syscall(ctypes.c_long(_IO_URING_SETUP), ctypes.c_uint(4), params)
    if fd < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):
        return None
    return _checked(fd)


def has_io_uring() -> bool:
    """Whether this host has it, and lets this user have it."""
    ring = io_uring()
    if ring is not None:
        os.close(ring)
    return ring is not None


def register_files(ring: int, *fds: int) -> None:
    """Has a ring hold files."""
    array = (ctypes.c_int * len(fds))(*fds)
    _checked(
        _libc.syscall(
            ctypes.c_long(_IO_URING_REGISTER),
            ctypes.c_uint(ring),
            ctypes.c_uint(_REGISTER_FILES),
            array,
            ctypes.c_uint(len(fds)),
        )
    )


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
