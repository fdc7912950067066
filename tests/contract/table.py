"""The whole table, and how it covers the contract's text."""

from __future__ import annotations

import re
from pathlib import Path

from tests.contract import rows_channels, rows_devices, rows_disks, rows_machine
from tests.contract.left_out import LEFT_OUT
from tests.contract.row import Row, Section

CONTRACT = (Path(__file__).parent / "contract.txt").read_text(encoding="utf-8")
_PARTS = (rows_machine, rows_channels, rows_disks, rows_devices)
SECTIONS: tuple[Section, ...] = tuple(section for part in _PARTS for section in part.SECTIONS)
ROWS: tuple[Row, ...] = tuple(row for section in SECTIONS for row in section.rows)


def sentences(line: str) -> list[str]:
    """The sentences of a line, without the bullet or number before them."""
    text = re.sub(r"^\s*(•|\d\.(?=\s|$))?\s*", "", line)
    return [part for part in re.split(r"(?<=[.!?])\s+", text.rstrip()) if part]


def left_out_lines() -> set[int]:
    """The numbers (from 0) of the lines that lie in a range that is left out.

    Raises:
        ValueError: An end of a range isn't in the contract.
    """
    lines = CONTRACT.splitlines()
    found: set[int] = set()
    for group in LEFT_OUT:
        end = -1
        for first, last in group.ranges:
            begin = _position(lines, first, end + 1)
            end = _position(lines, last, begin)
            found.update(range(begin, end + 1))
    return found


def _position(lines: list[str], beginning: str, start: int) -> int:
    for position in range(start, len(lines)):
        if lines[position].startswith(beginning):
            return position
    raise ValueError(f"no line of the contract from {start} on begins with {beginning!r}")


def uncovered(rows: tuple[Row, ...] = ROWS) -> list[str]:
    """The sentences that neither a row quotes from nor left_out.py lists."""
    in_ranges = left_out_lines()
    left_out = {sentence for group in LEFT_OUT for sentence in group.sentences}
    missing = []
    for number, line in enumerate(CONTRACT.splitlines()):
        if number not in in_ranges:
            for sentence in sentences(line):
                if sentence not in left_out and not any(_quotes(row.quote, line, sentence) for row in rows):
                    missing.append(sentence)
    return missing


def _quotes(quote: str, line: str, sentence: str) -> bool:
    """Whether a quote, which may go over several sentences of its line, has something of this one."""
    return quote in sentence or (quote in line and sentence in quote)
