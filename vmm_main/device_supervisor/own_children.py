"""The children of the calling thread, known or not: what a zygote makes is main's child at once."""

from __future__ import annotations

import _thread
import posix as os
import time

from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Iterable
else:
    import _signal  # the same without enum, which costs milliseconds at every start

_log = Logger("supervisor")

_TRACED_LOOK_S = 0.01  # between two looks at what is held by a debugger


def own_children() -> list[int] | None:
    """Their pids, those that have ended but aren't reaped among them.

    None if the kernel doesn't tell (CONFIG_PROC_CHILDREN): then only those that main was told of are known.
    """
    try:
        with open(f"/proc/self/task/{_thread.get_native_id()}/children", "rb", buffering=0) as children:
            return [int(pid) for pid in children.read().split()]
    except FileNotFoundError:
        return None


def kill_child(pid: int, pidfd: int) -> None:
    """Kills one, if main may: a zygote or spawner that was taken over can make itself another user's."""
    try:
        _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
    except PermissionError:
        _log.error(f"process {pid} can't be killed: it has become another user's")


def end_children(known: Iterable[int], until_s: float) -> list[int]:
    """Kills and reaps all children, those that are made meanwhile too.

    Args:
        known: What is to be ended where the kernel doesn't list children.
        until_s: When to give up (monotonic).

    Returns:
        Those that are still there then.
    """
    left = list(known)
    while True:
        children = own_children()
        if children is not None:
            left = children
        left = [pid for pid in left if not _end(pid, until_s)]
        if children is None or not children or time.monotonic() >= until_s:
            return left


def _end(pid: int, until_s: float) -> bool:
    """Kills and reaps one; nobody else reaps, so the pid is no other process's."""
    import select

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        kill_child(pid, pidfd)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(max(0.0, until_s - time.monotonic()) * 1000):
            return False
        while os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG) is None:
            # It has ended, but a debugger that traces it reaps it first, and nothing tells of that.
            if time.monotonic() >= until_s:
                return False
            select.select((), (), (), _TRACED_LOOK_S)
        return True
    finally:
        os.close(pidfd)
