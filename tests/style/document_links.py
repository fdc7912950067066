"""What the documents point at: relative links, and paths of the project in backticks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_SPAN = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"(?:\./)?([\w.-]+(?:/[\w.-]+)+/?)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
# What begins like a path of the project, but is made at run time.
NOT_IN_GIT = {".venv", "build", "__pycache__"}


def broken_links(root: Path, files: Iterable[PurePosixPath]) -> Iterator[str]:
    """Each link to a file or heading that isn't there, and each path in backticks of a file that isn't."""
    for path in files:
        if path.suffix != ".md":
            continue
        text = FENCE.sub("", (root / path).read_text(encoding="utf-8"))
        for match in LINK.finditer(CODE_SPAN.sub("", text)):
            if not _leads_somewhere(root, path, match.group(1)):
                yield f"{path}: the link to {match.group(1)} leads nowhere"
        for match in CODE_SPAN.finditer(text):
            named = PATH.match(match.group(1).split()[0] if match.group(1).split() else "")
            if named is None or NOT_IN_GIT.intersection(named.group(1).split("/")):
                continue
            target = root / named.group(1)
            if (root / target.relative_to(root).parts[0]).exists() and not target.exists():
                yield f"{path}: there is no {named.group(1)}"


def _leads_somewhere(root: Path, page: PurePosixPath, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    name, _, anchor = target.partition("#")
    file = root / page.parent / name if name else root / page
    if not file.exists():
        return False
    return not anchor or file.suffix != ".md" or anchor in _anchors(file.read_text(encoding="utf-8"))


def _anchors(text: str) -> set[str]:
    """GitHub's names of a page's headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in HEADING.findall(FENCE.sub("", text))
    }
