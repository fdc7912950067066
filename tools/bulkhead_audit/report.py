"""The audit as a table for people, and as JSON for machines."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from .audit import Audited
from .finding import CERTIFIED, DIFFERENCE, OK, UNREAD

FORMAT = 1
AS_ENTITLED, DIFFERS, INCOMPLETE = "as-entitled", "differs", "incomplete"
_NOT_AUDITED = "not-audited"
_WIDTHS = (22, 40, 44)
_MEMORY = (
    "memory: {pss-kib} KiB in proportion, {private-kib} private, {shared-kib} shared, "
    "{page-tables-kib} page tables"
)


def result_of(audited: Sequence[Audited], *, unprivileged: bool) -> str:
    """The whole in a word.

    Args:
        audited: Every process.
        unprivileged: Whether what can't be read from outside may be left, and birth certificates count.
    """
    verdicts = _counted(audited)
    if verdicts[DIFFERENCE]:
        return DIFFERS
    return INCOMPLETE if not unprivileged and verdicts[UNREAD] + verdicts[CERTIFIED] else AS_ENTITLED


def table(audited: Sequence[Audited], *, everything: bool) -> Iterator[str]:
    """Lines: for each process a heading and its findings.

    Args:
        audited: Every process.
        everything: Whether findings that are as allowed have their lines too.
    """
    for process in audited:
        yield _heading(process)
        shown = [one for one in process.findings if everything or one.verdict != OK]
        for finding in shown:
            yield from _row(finding.aspect, finding.allowed, finding.found, finding.verdict)
        left_out = len(process.findings) - len(shown)
        if left_out:
            yield f"  {left_out} more {'is' if left_out == 1 else 'are'} ok"
        if process.memory_kib is not None:
            yield f"  {_MEMORY.format(**process.memory_kib)}"
        yield ""
    yield summary(audited)


def summary(audited: Sequence[Audited]) -> str:
    """One line about the whole."""
    verdicts = _counted(audited)
    tables = _page_tables_kib(audited)
    processes, compared = (
        _counts(len(audited), "process", "es"),
        _counts(sum(verdicts.values()), "comparison"),
    )
    text = (
        f"{processes}, {compared}: {_counts(verdicts[DIFFERENCE], 'difference')}, "
        f"{verdicts[CERTIFIED]} by birth certificates alone, {verdicts[UNREAD]} not read"
    )
    return f"{text}; {tables} KiB of page tables" if tables else text


def as_json(audited: Sequence[Audited], result: str) -> dict[str, Any]:
    """The shape that docs/audit.md describes."""
    verdicts = _counted(audited)
    return {
        "bulkhead-audit": FORMAT,
        "result": result,
        "differences": verdicts[DIFFERENCE],
        "certified": verdicts[CERTIFIED],
        "not-read": verdicts[UNREAD],
        "page-tables-kib": _page_tables_kib(audited),
        "processes": [_process(one) for one in audited],
    }


def error_as_json(reason: str) -> dict[str, Any]:
    """What there is instead where the VM can't be audited."""
    return {"bulkhead-audit": FORMAT, "result": _NOT_AUDITED, "error": reason}


def _process(audited: Audited) -> dict[str, Any]:
    entitled = audited.entitled
    told: dict[str, Any] = {
        name: entitled[name] for name in ("name", "role", "kind", "pid", "state") if name in entitled
    }
    if audited.memory_kib is not None:
        told["memory"] = audited.memory_kib
    told["findings"] = [
        {"aspect": one.aspect, "allowed": one.allowed, "found": one.found, "verdict": one.verdict}
        for one in audited.findings
    ]
    return told


def _heading(audited: Audited) -> str:
    entitled = audited.entitled
    kind = f" ({entitled['kind']})" if "kind" in entitled else ""
    process = f"process {entitled['pid']}" if "pid" in entitled else "no process"
    return f"{entitled['name']}{kind}, {process}"


def _row(aspect: str, allowed: str, found: str, verdict: str) -> Iterator[str]:
    columns = [
        textwrap.wrap(text, width) for text, width in zip((aspect, allowed, found), _WIDTHS, strict=True)
    ]
    for number in range(max(1, *map(len, columns))):
        cells = [column[number] if number < len(column) else "" for column in columns]
        padded = "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
        yield f"  {padded}  {verdict if number == 0 else ''}".rstrip()


def _page_tables_kib(audited: Sequence[Audited]) -> int:
    return sum(process.page_tables_kib for process in audited)


def _counts(number: int, what: str, plural: str = "s") -> str:
    return f"{number} {what}{'' if number == 1 else plural}"


def _counted(audited: Sequence[Audited]) -> Counter[str]:
    return Counter(finding.verdict for process in audited for finding in process.findings)
