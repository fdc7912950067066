"""What the audit finds: one aspect of one process, what is allowed, what is there, and how they compare."""

from __future__ import annotations

from dataclasses import dataclass

# The verdicts.
OK = "ok"
DIFFERENCE = "DIFFERENCE"
CERTIFIED = (
    "certified"  # can't be read from here; the process has said so at its birth, and that is as allowed
)
UNREAD = "not read"


@dataclass(frozen=True)
class Finding:
    """One comparison.

    Attributes:
        aspect: What is compared: "capabilities".
        allowed: What the process is entitled to.
        found: What it has.
        verdict: One of the above.
    """

    aspect: str
    allowed: str
    found: str
    verdict: str


def judge(aspect: str, allowed: str, found: str, *, is_allowed: bool) -> Finding:
    """A finding that is either as allowed or a difference."""
    return Finding(aspect, allowed, found, OK if is_allowed else DIFFERENCE)
