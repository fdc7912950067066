"""The processes below this one, so that a command can end all that it has started, however deep it lies."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

from tools.soaking.waiting import wait_until

_PR_SET_CHILD_SUBREAPER = 36


def children_of(pid: int) -> dict[int, str]:
    """A process's children, and what they are called."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            try:
                found[int(child)] = Path(f"/proc/{child}/comm").read_text(encoding="utf-8").strip()
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has gone meanwhile
    return found


def adopt_orphans() -> None:
    """Has every process that a VM leaves behind become this one's child."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def orphans(deadline_s: float) -> list[str]:
    """Processes that are left after a deadline; those that have ended are reaped."""
    left: dict[int, str] = {}

    def all_reaped() -> bool:
        left.clear()
        left.update(children_of(os.getpid()))
        for pid in list(left):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                del left[pid]
        return not left

    wait_until(all_reaped, deadline_s)
    return [f"process {pid} ({name}) is left" for pid, name in left.items()]


def end_children(deadline_s: float) -> list[str]:
    """Kills every process below this one, those that come here as orphans too; returns what doesn't end."""

    def all_ended() -> bool:
        children = children_of(os.getpid())
        for pid in children:
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                os.kill(pid, signal.SIGKILL)
        return not children

    wait_until(all_ended, deadline_s)
    return orphans(0)
