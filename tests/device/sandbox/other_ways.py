"""The ways in which C libraries do what our code asks of them, and what becomes of each in each thread.

A row is a call with harmless arguments and a letter for each profile:

    m  it is made
    a  it is answered with ENOSYS, and the library does without
    .  it is refused

Which calls our code needs is measured with the C library that there is (test_unused_rules.py). What another
one makes has a reason in `instead`, and a rule in the profile because of it. The rest shows that the siblings
of what is allowed stay refused. Libraries are glibc from 2.34 on, the first with close_range().
"""

from __future__ import annotations

import errno
import mmap
from dataclasses import dataclass

from tests.device.sandbox.told_kinds import scratch

MADE, ANSWERED, REFUSED = "m", "a", "."
PROFILES = ("main", "vcpu", "zygote", "control", "worker")
# Where the disk's worker differs from "worker": it has a back end.
ONLY_THE_DISKS = ("preadv2", "pwritev2", "fdatasync", "fallocate", "io_uring_enter")

# In the scratch memory: "/", the empty string behind it, and room.
_ROOT, _EMPTY, _ROOM = scratch(0), scratch(1), scratch(16)
_NONE = -1  # no descriptor
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_MONOTONIC = 1
_FUTEX_WAKE = 1
_O_PATH = 0o10000000
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_GUARD_INSTALL = 102
_TCGETS2, _TCSETS2, _TCSETSW2 = 0x802C542A, 0x402C542B, 0x402C542C
_PR_GET_NAME = 16
_KNOWN_BAD = errno.EINVAL


@dataclass(frozen=True)
class OtherWay:
    """A call.

    Attributes:
        name: Its name.
        arguments: Of it.
        verdicts: A letter for each of PROFILES.
        error: The errno it ends with where it is made; 0: it succeeds.
        instead: Which library makes it and what for, if it isn't the one we measure with.
    """

    name: str
    arguments: tuple[int, ...]
    verdicts: str
    error: int = 0
    instead: str = ""

    def verdict(self, profile: str, folder: str = "") -> str:
        """What becomes of it under a profile; of a worker's, under the kind's in a folder."""
        if profile == "worker" and folder == "virtio_blk" and self.name in ONLY_THE_DISKS:
            return MADE
        return self.verdicts[PROFILES.index(profile)]

    def __str__(self) -> str:
        return self.name


def _rows(*rows: tuple[str, tuple[int, ...], str] | tuple[str, tuple[int, ...], str, int]) -> list[OtherWay]:
    return [OtherWay(*row) for row in rows]


# main, vcpu, zygote, control, worker
OTHER_WAYS = [
    # Time. Control threads ask for none.
    OtherWay("clock_gettime", (_MONOTONIC, _ROOM), "mmm.m", 0, "all, where the host has no vDSO clock"),
    *_rows(
        ("clock_getres", (_MONOTONIC, _ROOM), "....."),
        ("clock_settime", (_MONOTONIC, _ROOM), "....."),
        ("gettimeofday", (_ROOM, 0), "....."),
        ("time", (0,), "....."),
        ("nanosleep", (_ROOM, 0), "....."),
        ("clock_nanosleep", (_MONOTONIC, 0, _ROOM, 0), "....."),
        # Threads: made by clone3, else clone; registered for rseq, or not (glibc before 2.35, or told so).
        ("clone3", (0, 0), "a.a.."),
        ("rseq", (0, 0, 0, 0), "m.m..", _KNOWN_BAD),
        ("set_robust_list", (0, 0), "m.m..", _KNOWN_BAD),
        ("set_tid_address", (0,), "....."),
    ),
    OtherWay(
        "futex", (_ROOM, _FUTEX_WAKE, 1), "mmm..", 0, "all, when two threads meet at a lock, which is seldom"
    ),
    *_rows(
        ("futex_waitv", (0, 0, 0, 0, 0), "....."),
        ("membarrier", (0, 0), "....."),
        ("gettid", (), "mmmmm"),
        ("getpid", (), "mmmmm"),
        ("getppid", (), "....."),
        ("sched_yield", (), "....."),
        ("sched_getaffinity", (0, 8, _ROOM), "mm..."),
        ("getcpu", (_ROOM, 0), "....."),
        ("arch_prctl", (0x1003, _ROOM), "....."),
        ("prctl", (_PR_GET_NAME, _ROOM), "..m.."),
        # Signals.
        ("rt_sigprocmask", (0, 0, 0, 8), "mmmmm"),
        ("rt_sigaction", (10, 0, 0, 8), "mmm.."),
        ("rt_sigtimedwait", (_ROOM, 0, _ROOM, 8), "....."),
        ("rt_sigsuspend", (_ROOM, 0), "....."),
        ("sigaltstack", (0, 0), "m.m.."),
        ("restart_syscall", (), "mmmm.", errno.EINTR),
        ("tkill", (1, 0), "....."),
        ("rt_sigqueueinfo", (1, 0, 0), "....."),
    ),
    # Files.
    OtherWay("fstat", (0, _ROOM), "m.m..", 0, "glibc since 2.39, for newfstatat"),
    *_rows(
        ("newfstatat", (0, _EMPTY, _ROOM, _AT_EMPTY_PATH), "m.m.."),
        ("statx", (0, _EMPTY, _AT_EMPTY_PATH, 0, 0), "....."),
        ("stat", (_ROOT, _ROOM), "....."),
        ("lstat", (_ROOT, _ROOM), "....."),
        ("access", (_ROOT, 0), "....."),
        ("faccessat", (_AT_FDCWD, _ROOT, 0), "....."),
        ("faccessat2", (_AT_FDCWD, _ROOT, 0, 0), "....."),
        ("open", (_ROOT, _O_PATH, 0), "....."),
        ("openat2", (_AT_FDCWD, _ROOT, _ROOM, 24), "....."),
        ("creat", (_ROOT, 0), "....."),
        ("readlink", (_ROOT, _ROOM, 16), "....."),
        ("getdents", (0, _ROOM, 0), "....."),
        ("getdents64", (0, _ROOM, 0), "m.m..", errno.ENOTDIR),
        ("getcwd", (_ROOM, 16), "....."),
        ("read", (_NONE, _ROOM, 1), "m.mmm", errno.EBADF),
        ("readv", (_NONE, _ROOM, 1), "....."),
        ("pread64", (_NONE, _ROOM, 1, 0), "m....", errno.EBADF),
        ("preadv", (_NONE, _ROOM, 1, 0), "....."),
        ("preadv2", (_NONE, _ROOM, 1, 0, 0, 0), "..m..", errno.EBADF),
        ("write", (_NONE, _ROOM, 1), "mmmmm", errno.EBADF),
        ("writev", (_NONE, _ROOM, 1), "....."),
        ("pwrite64", (_NONE, _ROOM, 1, 0), "....."),
        ("pwritev", (_NONE, _ROOM, 1, 0), "....."),
        ("pwritev2", (_NONE, _ROOM, 1, 0, 0, 0), "..m..", errno.EBADF),
        ("fsync", (_NONE,), "....."),
        ("fdatasync", (_NONE,), "..m..", errno.EBADF),
        ("sync_file_range", (_NONE, 0, 0, 0), "....."),
        ("fallocate", (_NONE, 3, 0, 1), "..m..", errno.EBADF),
        ("io_uring_enter", (_NONE, 0, 0, 0, 0, 0), "..m..", errno.EBADF),
        ("copy_file_range", (_NONE, 0, _NONE, 0, 1, 0), "....."),
        ("sendfile", (_NONE, _NONE, 0, 1), "....."),
        ("splice", (_NONE, 0, _NONE, 0, 1, 0), "....."),
    ),
    # Terminals; what else is an ioctl is in tests/unit/seccomp_profiles/test_compiled_filters.py.
    OtherWay("ioctl", (_NONE, _TCGETS2, _ROOM), "mm...", errno.EBADF, "glibc since 2.42, for TCGETS"),
    OtherWay("ioctl", (_NONE, _TCSETS2, _ROOM), "mm...", errno.EBADF, "glibc since 2.42, for TCSETS"),
    *_rows(
        ("ioctl", (_NONE, _TCSETSW2, _ROOM), "....."),
        # Waits.
        ("poll", (0, 0, 0), "mmmm."),
        ("ppoll", (0, 0, _ROOM, 0, 8), "mmm.m"),
        ("select", (0, 0, 0, 0, _ROOM), "....."),
        ("pselect6", (0, 0, 0, 0, _ROOM, 0), "....."),
        ("epoll_wait", (_NONE, _ROOM, 1, 0), "m....", errno.EBADF),
        ("epoll_pwait", (_NONE, _ROOM, 1, 0, 0, 8), "m....", errno.EBADF),
        ("epoll_pwait2", (_NONE, _ROOM, 1, _ROOM, 0, 8), "....."),
        # Sockets.
        ("recvfrom", (_NONE, _ROOM, 1, 0, 0, 0), "m.mm.", errno.EBADF),
        ("recvmsg", (_NONE, _ROOM, 0), "m.m..", errno.EBADF),
        ("recvmmsg", (_NONE, _ROOM, 1, 0, 0), "....."),
        ("sendto", (_NONE, _ROOM, 1, 0, 0, 0), "m.mm.", errno.EBADF),
        ("sendmsg", (_NONE, _ROOM, 0), "m....", errno.EBADF),
        ("sendmmsg", (_NONE, _ROOM, 1, 0), "....."),
        ("accept", (_NONE, 0, 0), "....."),
        # Memory.
        ("mmap", (0, 4096, _READ_WRITE, _ANONYMOUS, _NONE, 0), "mmmm."),
        ("munmap", (1, 1), "mmmm.", _KNOWN_BAD),
        ("mremap", (1, 1, 1, 0), "mmaa.", _KNOWN_BAD),
        ("brk", (0,), "mmmm."),
        ("mprotect", (0, 0, mmap.PROT_READ), "mmm.."),
        ("pkey_mprotect", (0, 0, mmap.PROT_READ, _NONE), "....."),
    ),
    OtherWay("madvise", (1, 0, _GUARD_INSTALL), "mma..", _KNOWN_BAD, "glibc since 2.42, for a guard page"),
    *_rows(
        ("process_madvise", (_NONE, 0, 0, 0, 0), "....."),
        ("mlock", (0, 0), "....."),
        ("mincore", (0, 0, 0), "....."),
        # Descriptors.
        ("close", (_NONE,), "m.m..", errno.EBADF),
        ("close_range", (1, 0, 0), "..m..", _KNOWN_BAD),
        ("dup", (_NONE,), "....."),
        ("dup3", (0, 0, 0), "m.m..", _KNOWN_BAD),
        ("fcntl", (_NONE, 1), "m.m..", errno.EBADF),
        ("pipe", (_ROOM,), "....."),
        ("pipe2", (0, 0), "..m..", errno.EFAULT),
        ("eventfd", (0,), "....."),
        ("eventfd2", (0, 0), "..m.."),
        # Of the host. malloc() has asked for its random number before there is a filter.
        ("getrandom", (_ROOM, 1, 1), "....."),
        ("prlimit64", (0, 7, 0, _ROOM), "..m.."),
        ("getrlimit", (7, _ROOM), "....."),
        ("setrlimit", (7, _ROOM), "....."),
        ("getrusage", (0, _ROOM), "....."),
        ("sysinfo", (_ROOM,), "....."),
        ("exit", (0,), "mm..."),
    ),
]
