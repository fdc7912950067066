"""Which rules of `main` and `vcpu` are used, from VMs' traces: strace shows a call before the filter decides.

A VM's first process is main; its first seccomp() puts `main` on, which its threads inherit, and a thread's
own seccomp() is `vcpu`. Whoever is born of it and execs (spawner, zygotes, devices) is somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from seccomp_profiles.profile import Profile, Rule
from tests.device.sandbox.rules_used import calls

MAIN, VCPU = "main", "vcpu"

_BIRTH = re.compile(
    r"(\d+) +(?:(?:clone|vfork|fork)\(.*|<\.\.\. (?:clone|vfork|fork) resumed>.*)\) += (0x[0-9a-f]+)$"
)


class MainRulesUsed:
    """Rules that some thread of some main has used."""

    def __init__(self, profiles: dict[str, Profile]) -> None:
        """Takes the profiles by name."""
        self._profiles = profiles
        self._used: set[tuple[str, Rule]] = set()
        self.calls = dict.fromkeys(profiles, 0)

    def read(self, trace: list[str]) -> None:
        """Counts what one VM's trace shows."""
        parents = dict(_births(trace))
        first = next(tid for tid, _, _ in calls(trace))
        filters: dict[int, list[str] | None] = {first: []}  # None: not main's any more
        for tid, call, arguments in calls(trace):
            if tid not in filters:
                inherited = filters.get(parents.get(tid, 0))
                filters[tid] = None if inherited is None else list(inherited)
            under = filters[tid]
            if under is None:
                continue
            if call == "execve" and tid != first:
                filters[tid] = None
                continue
            for name in under:
                self._count(name, call, arguments)
            if call == "seccomp" and arguments[0] == 1:
                under.append(VCPU if under else MAIN)

    def unused(self) -> set[str]:
        """Every rule that was never used, as "profile: call condition"."""
        return {
            f"{name}: {rule.call} {rule.condition}".strip()
            for name, profile in self._profiles.items()
            for rule in profile.rules
            if (name, rule) not in self._used
        }

    def _count(self, name: str, call: str, arguments: tuple[int, ...]) -> None:
        self.calls[name] += 1
        for rule in self._profiles[name].rules:
            if rule.call == call and all(comparison.holds(arguments) for comparison in rule.comparisons):
                self._used.add((name, rule))


def _births(trace: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Every new process and thread, and who made it."""
    for line in trace:
        born = _BIRTH.match(line)
        if born is not None:
            yield int(born[2], 0), int(born[1])
