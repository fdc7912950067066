"""Who holds a lock on a file, as far as /proc shows it: only where a start fails for that."""

from __future__ import annotations

import os

_SHOWN = 3


def holders_in_words(fd: int) -> str:
    """Who has fd's file: `by process 12 (bulkhead)`; nothing if it can't be known, as of another user's."""
    status = os.fstat(fd)
    found = []
    for entry in sorted(filter(str.isdecimal, os.listdir("/proc")), key=int):
        if _holds(entry, status):
            # The oldest is main; its device processes have the same description.
            found.append(f"{entry} ({_name(entry)})" if entry != str(os.getpid()) else "itself")
    if not found:
        return ""
    if found[0] == "itself":
        return " by another disk of this VM"
    return f" by process {', '.join(found[:_SHOWN])}"


def _holds(pid: str, status: os.stat_result) -> bool:
    """Whether a process has the file open with a lock of that description (proc(5), fdinfo)."""
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            other = os.stat(f"/proc/{pid}/fd/{number}")
            if not os.path.samestat(other, status):
                continue
            with open(f"/proc/{pid}/fdinfo/{number}", encoding="utf-8") as information:
                if any(line.startswith("lock:") for line in information):
                    return True
    except OSError:
        return False  # it has ended, or isn't ours to look at
    return False


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as name:
            return ascii(name.read().strip())[1:-1]
    except OSError:
        return "ended since"
