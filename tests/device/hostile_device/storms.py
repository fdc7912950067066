"""What the profiles let through, as storms that a test can order."""

from __future__ import annotations

from seccomp_profiles.compile_profiles import system_call_number
from seccomp_profiles.profile import Rule, read_profiles

CONTROL, WORKER = "control", "worker"
_UINT64 = (1 << 64) - 1


class Storm:
    """One rule of one thread's profile.

    Attributes:
        thread: CONTROL or WORKER.
        rule: Which call it lets through.
        number: Of the call.
        clear: The bits of each argument that the rule wants otherwise,
        wanted: and how it wants them.
    """

    def __init__(self, thread: str, rule: Rule) -> None:
        self.thread = thread
        self.rule = rule
        self.number = system_call_number(rule.call)
        self.clear, self.wanted = [0] * 6, [0] * 6
        for each in rule.comparisons:
            if each.operator == "SCMP_CMP_NE":
                self.wanted[each.index] |= ~each.value & 1  # the lowest bit is another, if that is 0
                continue
            masked = each.operator == "SCMP_CMP_MASKED_EQ"
            assert masked or each.operator == "SCMP_CMP_EQ", f"{rule.call}: {each.operator}"
            self.clear[each.index] = each.value if masked else _UINT64
            self.wanted[each.index] = each.value_two if masked else each.value

    def __str__(self) -> str:
        return f"{self.thread} thread, {self.rule.call} {self.rule.condition}".rstrip()


def storms_of(folder: str) -> list[Storm]:
    """One for each rule of both threads of the kind in that folder."""
    profiles = {profile.name: profile for profile in read_profiles()}
    return [
        Storm(thread, rule)
        for thread in (CONTROL, WORKER)
        for rule in profiles[f"{folder}_{thread}"].rules
        if not rule.error_number
    ]
