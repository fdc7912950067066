"""What docs/security.md claims: each names tests, which exist, and its numbers are the profiles'."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PAGE = Path("docs", "security.md")
CLAIMS = "## Claims"
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_COUNT = re.compile(r"`(\w+)` (\d+)")
_ROW = re.compile(r"^\| [a-z]+ \|(.*)\|$", re.MULTILINE)


def claims(page: str) -> list[str]:
    """The text of each item of the chapter of claims."""
    chapter = page.partition(f"\n{CLAIMS}\n")[2].partition("\n## ")[0]
    # An item goes on in lines that are indented.
    return [item.strip() for item in re.findall(r"^- .*(?:\n  .*)*", chapter, re.MULTILINE)]


def claims_without_tests(page: str) -> Iterator[str]:
    """Each claim that names no test."""
    for claim in claims(page):
        if _TEST.search(claim) is None:
            yield f"names no test: {claim.splitlines()[0]}"


def missing_tests(root: Path, page: str) -> Iterator[str]:
    """Each test that is named and isn't there."""
    for path, name in sorted(set(_TEST.findall(page))):
        file = root / path
        if not file.is_file():
            yield f"there is no {path}"
        elif name not in _functions(file):
            yield f"{path} has no {name}"


def wrong_counts(page: str, rules: dict[str, int]) -> Iterator[str]:
    """Each number of rules that isn't the profile's, and each profile that isn't counted.

    Args:
        page: The text.
        rules: How many rules each profile has.
    """
    told = [(name, int(count)) for name, count in _COUNT.findall(page)]
    for name, count in told:
        if rules.get(name) != count:
            yield f"{name}: {count} on the page, {rules.get(name, 'none')} in the profile"
    for name in sorted(set(rules) - {name for name, _ in told}):
        yield f"{name} isn't counted"
    for row in _ROW.findall(page):
        counts = [int(count) for _, count in _COUNT.findall(row)]
        cells = [cell.strip() for cell in row.split("|")]
        if counts and cells[2] != str(sum(counts)):
            yield f"{' + '.join(map(str, counts))} isn't {cells[2]}"


def outside_the_zygotes(own: Iterable[str], zygotes: Iterable[str]) -> list[str]:
    """Calls of a device's profile that the zygote's, which is around it, hasn't got."""
    return sorted(set(own) - set(zygotes))


def _functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
