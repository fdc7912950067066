"""What errors are made of: the known name that was probably meant, and values cut to what fits a line.

Imported only where something is wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN_CHARACTERS = 200  # a line, not a page


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns " (did you mean 'x'?)", or "" if nothing known is like name, dashes aside."""
    return nearest_part(name.lstrip("-"), {each.lstrip("-"): each for each in known})


def nearest_part(part: str, known: dict[str, str]) -> str:
    """The same for names that are told apart by one part of them: the known names by that part."""
    found = difflib.get_close_matches(part[:_SHOWN_CHARACTERS], known, n=1, cutoff=0.6)
    return f" (did you mean {known[found[0]]!r}?)" if found else ""


def shorten(text: str) -> str:
    """Returns text, or the beginning of one that is long; '' for an empty one, which nobody would see."""
    if not text:
        return "''"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
