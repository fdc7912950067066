"""What no device process may do: a call for each group, with arguments that work where no filter is."""

from __future__ import annotations

import errno
import mmap
import socket
from dataclasses import dataclass

from tests.device.sandbox.told_kinds import scratch

AT_FDCWD = -100
_O_PATH = 0o10000000
_SIGCHLD = 17
_PTRACE_SEIZE = 0x4206
_CLONE_THREAD = 0x10000
_F_SETFL = 4
_FIONREAD = 0x541B
_CONTROL_FD = 3

# In the scratch memory: a path, and zeros for whatever else is pointed at.
_PATH, _RESULT = 0, 16
SCRATCH = b"/\0".ljust(256, b"\0")


@dataclass(frozen=True)
class ForbiddenCall:
    """A call, and how it ends where it is let through.

    Attributes:
        group: What it stands for.
        name: Of the call.
        arguments: Of the call.
        unfiltered: The errno it ends with without a filter; 0: it succeeds.
    """

    group: str
    name: str
    arguments: tuple[int, ...]
    unfiltered: int = 0

    def __str__(self) -> str:
        return self.group


_FALLOC_FL_KEEP_SIZE = 1
_RWX = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
_ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_RW = mmap.PROT_READ | mmap.PROT_WRITE
_SHARED_ANONYMOUS = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS

# By every device's thread, and by the zygote as well.
FORBIDDEN_ALWAYS = (
    ForbiddenCall("socket", "socket", (socket.AF_UNIX, socket.SOCK_STREAM, 0)),
    # There is nothing to exec in an empty root, filter or not.
    ForbiddenCall("exec", "execve", (scratch(_PATH), 0, 0), errno.EACCES),
    ForbiddenCall("ptrace", "ptrace", (_PTRACE_SEIZE, 12345, 0, 0), errno.ESRCH),
    ForbiddenCall("fork", "clone", (_SIGCHLD, 0, 0, 0, 0)),
    ForbiddenCall("executable memory", "mmap", (0, 4096, _RWX, _ANONYMOUS, -1, 0)),
    ForbiddenCall("executable memory later", "mprotect", (0, 0, _RWX)),
    ForbiddenCall("ioctl that isn't listed", "ioctl", (_CONTROL_FD, _FIONREAD, scratch(_RESULT))),
    ForbiddenCall("signal", "kill", (1, 0)),
    ForbiddenCall("another's memory", "process_vm_readv", (1, 0, 0, 0, 0, 0)),
)
# By the threads of a device once it is ready.
FORBIDDEN_WHEN_READY = (
    ForbiddenCall("open", "openat", (AT_FDCWD, scratch(_PATH), _O_PATH, 0)),
    ForbiddenCall("sendmsg", "sendmsg", (0, scratch(_RESULT), 0), errno.ENOTSOCK),
    ForbiddenCall("fcntl F_SETFL", "fcntl", (_CONTROL_FD, _F_SETFL, 0)),
    ForbiddenCall("thread", "clone", (_CLONE_THREAD, 0, 0, 0, 0), errno.EINVAL),
    ForbiddenCall("close", "close", (0,)),
    # RLIMIT_FSIZE doesn't keep it from that.
    ForbiddenCall("room beyond a file's end", "fallocate", (-1, _FALLOC_FL_KEEP_SIZE, 0, 4096), errno.EBADF),
    # They would count against no limit of the process, nor would the page tables.
    ForbiddenCall("shared memory", "mmap", (0, 4096, _RW, _SHARED_ANONYMOUS, -1, 0)),
    ForbiddenCall("memory that isn't written", "mmap", (0, 4096, mmap.PROT_READ, _ANONYMOUS, -1, 0)),
)
