"""Which rules of the profiles are used, from a trace of everything that zygotes and devices call.

strace shows each call with its arguments as numbers when it is made, before the filter decides. A thread's
filters are known from its past: a zygote's first seccomp() is the zygote's profile; a process that it clones
has that too; a device's first thread adds its kind's control profile, its other threads the worker profile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from seccomp_profiles.profile import Profile, Rule

STRACE = ("strace", "-f", "-qq", "-e", "raw=all", "-e", "signal=none")
ZYGOTE, CONTROL, WORKER = "zygote", "control", "worker"
_CLONE_THREAD = 0x10000

_CALL = re.compile(r"(\d+) +(\w+)\(([^)<]*)")
_RESULT = re.compile(r"(\d+) +(?:(\w+)\(.*|<\.\.\. (\w+) resumed>.*)\) += (0x[0-9a-f]+|\d+)$")


@dataclass
class _Thread:
    filters: list[str] = field(default_factory=list)
    is_first: bool = True


class UsedRules:
    """Rules that some thread under their profile has used."""

    def __init__(self, profiles: dict[str, Profile]) -> None:
        """Takes the profiles for ZYGOTE, CONTROL and WORKER."""
        self._profiles = profiles
        self._used: set[tuple[str, Rule]] = set()
        self.calls = dict.fromkeys(profiles, 0)

    def read(self, trace: list[str]) -> None:
        """Counts what a trace shows."""
        parents = dict(_parents(trace))
        threads: dict[int, _Thread] = {}
        makers: list[int] = []  # of threads that haven't called anything yet, the oldest first
        for tid, call, arguments in calls(trace):
            if tid not in threads:
                threads[tid] = _born(tid, parents, makers, threads)
            thread = threads[tid]
            if call == "clone" and arguments[0] & _CLONE_THREAD:
                makers.append(tid)
            for name in thread.filters:
                self._count(name, call, arguments)
            if call == "seccomp" and arguments[0] == 1:
                self._count_install(thread)
            elif call == "execve":
                thread.filters = []

    def unused(self) -> list[str]:
        """Every rule that was never used, as "profile: call condition"."""
        return [
            f"{profile.name}: {rule.call} {rule.condition}".strip()
            for name, profile in self._profiles.items()
            for rule in profile.rules
            if (name, rule) not in self._used
        ]

    @staticmethod
    def _count_install(thread: _Thread) -> None:
        if not thread.filters:
            thread.filters = [ZYGOTE]
        else:
            thread.filters = [*thread.filters, CONTROL if thread.is_first else WORKER]

    def _count(self, name: str, call: str, arguments: tuple[int, ...]) -> None:
        self.calls[name] += 1
        for rule in self._profiles[name].rules:
            if rule.call == call and all(comparison.holds(arguments) for comparison in rule.comparisons):
                self._used.add((name, rule))


def _born(tid: int, parents: dict[int, int], makers: list[int], threads: dict[int, _Thread]) -> _Thread:
    """A thread that is seen for the first time.

    A new process's number is known from its parent's result; a new thread's isn't, since a device is told the
    numbers of its own pid namespace.
    """
    if tid in parents:
        return _Thread(list(threads[parents[tid]].filters) if parents[tid] in threads else [])
    if makers:
        return _Thread(list(threads[makers.pop(0)].filters), is_first=False)
    return _Thread()


def calls(trace: Iterable[str]) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    """Every call: who made it, its name, its arguments."""
    for line in trace:
        found = _CALL.match(line)
        if found is not None:
            words = [word.strip() for word in found[3].split(",")]
            numbers = [int(word, 0) for word in words if re.fullmatch(r"0x[0-9a-f]+|\d+", word)]
            yield int(found[1]), found[2], tuple((numbers + [0] * 6)[:6])


def _parents(trace: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Every new process, and who made it."""
    flags: dict[int, int] = {}
    for line in trace:
        call = _CALL.match(line)
        if call is not None and call[2] == "clone":
            flags[int(call[1])] = int(call[3].split(",")[0], 0)
        result = _RESULT.match(line)
        if result is None or (result[2] or result[3]) not in ("clone", "vfork", "fork", "clone3"):
            continue
        parent = int(result[1])
        if not flags.pop(parent, 0) & _CLONE_THREAD:
            yield int(result[4], 0), parent
