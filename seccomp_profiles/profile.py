"""A profile: which system calls one kind of thread may make, read from its file in the OCI runtime's format.

The format is that of "linux.seccomp" in the OCI runtime specification (config-linux.md), as container people
know it, with a comment on every rule. It is read strictly: what the compiler wouldn't obey is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ARGUMENTS = 6

# Of the format's comparisons, how they are shown; MASKED_EQ is "argument & value == valueTwo".
COMPARISONS = {
    "SCMP_CMP_NE": "!=",
    "SCMP_CMP_LT": "<",
    "SCMP_CMP_LE": "<=",
    "SCMP_CMP_EQ": "==",
    "SCMP_CMP_GE": ">=",
    "SCMP_CMP_GT": ">",
    "SCMP_CMP_MASKED_EQ": "&",
}
ACTIONS = ("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO")
DEFAULT_ACTION = "SCMP_ACT_TRAP"


class ProfileError(Exception):
    """A profile isn't as it should be; the text names file, rule and reason."""


@dataclass(frozen=True)
class Comparison:
    """A condition on one argument of a call."""

    index: int
    operator: str
    value: int
    value_two: int

    def __str__(self) -> str:
        if self.operator == "SCMP_CMP_MASKED_EQ":
            return f"arg{self.index} & {self.value:#x} == {self.value_two:#x}"
        return f"arg{self.index} {COMPARISONS[self.operator]} {self.value:#x}"

    def holds(self, arguments: tuple[int, ...]) -> bool:
        """Whether it is true of a call's arguments (unsigned, 64 bits)."""
        argument = arguments[self.index]
        return {
            "SCMP_CMP_NE": argument != self.value,
            "SCMP_CMP_LT": argument < self.value,
            "SCMP_CMP_LE": argument <= self.value,
            "SCMP_CMP_EQ": argument == self.value,
            "SCMP_CMP_GE": argument >= self.value,
            "SCMP_CMP_GT": argument > self.value,
            "SCMP_CMP_MASKED_EQ": argument & self.value == self.value_two,
        }[self.operator]


@dataclass(frozen=True)
class Rule:
    """One call that is let through or answered, with what its arguments must be.

    Attributes:
        call: Its name.
        comparisons: All must hold.
        error_number: What the call fails with without being made; 0 if it is made.
        comment: Why the thread needs it.
    """

    call: str
    comparisons: tuple[Comparison, ...]
    error_number: int
    comment: str

    @property
    def condition(self) -> str:
        """The comparisons as text; "" for none."""
        shown = " and ".join(map(str, self.comparisons))
        return f"{shown} -> errno {self.error_number}".strip() if self.error_number else shown


@dataclass(frozen=True)
class Profile:
    """What one kind of thread may do."""

    name: str
    rules: tuple[Rule, ...]


def read_profiles(folder: Path = FOLDER) -> list[Profile]:
    """Every profile in a folder, by name.

    Raises:
        ProfileError: One isn't as it should be.
    """
    return [read_profile(path) for path in sorted(folder.glob("*.json"))]


def read_profile(path: Path) -> Profile:
    """The profile in a file.

    Raises:
        ProfileError: It isn't as it should be.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ProfileError(f"{path.name}: {error}") from error
    _need_keys(path.name, document, {"defaultAction", "syscalls"}, {"comment"})
    if document["defaultAction"] != DEFAULT_ACTION:
        raise ProfileError(
            f"{path.name}: defaultAction must be {DEFAULT_ACTION}: the black box reports by it"
        )
    rules = [rule for entry in document["syscalls"] for rule in _rules(path.name, entry)]
    for number, rule in enumerate(rules):
        for other in rules[:number]:
            if rule.call == other.call and rule.comparisons == other.comparisons:
                raise ProfileError(f"{path.name}: {rule.call} {rule.condition} is there twice")
            if rule.call == other.call and not (rule.comparisons and other.comparisons):
                raise ProfileError(
                    f"{path.name}: {rule.call} has a rule without args, so its others are idle"
                )
    return Profile(path.stem, tuple(rules))


def _rules(where: str, entry: dict[str, Any]) -> list[Rule]:
    _need_keys(where, entry, {"names", "action", "comment"}, {"args", "errnoRet"})
    where = f"{where}: {' '.join(entry['names'])}"
    if not entry["names"] or entry["action"] not in ACTIONS:
        raise ProfileError(f"{where}: needs names, and one of {', '.join(ACTIONS)}")
    if not entry["comment"].strip():
        raise ProfileError(f"{where}: the comment must say why it is needed")
    if ("errnoRet" in entry) != (entry["action"] == "SCMP_ACT_ERRNO"):
        raise ProfileError(f"{where}: errnoRet belongs to SCMP_ACT_ERRNO")
    comparisons = tuple(_comparison(where, argument) for argument in entry.get("args", []))
    if len({comparison.index for comparison in comparisons}) != len(comparisons):
        raise ProfileError(f"{where}: one condition per argument; libseccomp would take them as alternatives")
    return [Rule(call, comparisons, entry.get("errnoRet", 0), entry["comment"]) for call in entry["names"]]


def _comparison(where: str, argument: dict[str, Any]) -> Comparison:
    _need_keys(where, argument, {"index", "value", "op"}, {"valueTwo"})
    operator = argument["op"]
    if operator not in COMPARISONS or argument["index"] not in range(ARGUMENTS):
        raise ProfileError(f"{where}: no such comparison or argument: {argument}")
    if ("valueTwo" in argument) != (operator == "SCMP_CMP_MASKED_EQ"):
        raise ProfileError(f"{where}: valueTwo belongs to SCMP_CMP_MASKED_EQ")
    return Comparison(argument["index"], operator, argument["value"], argument.get("valueTwo", 0))


def _need_keys(where: str, found: dict[str, Any], needed: set[str], allowed: set[str]) -> None:
    if not isinstance(found, dict) or not needed <= set(found) <= needed | allowed:
        raise ProfileError(
            f"{where}: needs {', '.join(sorted(needed))}; may have {', '.join(sorted(allowed))}"
        )
