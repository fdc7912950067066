"""What docs/security.md claims: each names tests, which are run, and its numbers are the profiles'."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PAGE = Path("docs", "security.md")
CLAIMS = "## Claims"
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_IN_TESTS = re.compile(r"`(tests/[^`]*)`")
# An item goes on in lines that are indented.
_ITEM = re.compile(r"^- .*(?:\n  .*)*", re.MULTILINE)
_COUNT = re.compile(r"`(\w+)` (\d+)")
_ROW = re.compile(r"^\| [a-z]+ \|(.*)\|$", re.MULTILINE)


def claims(page: str) -> list[str]:
    """The text of each item of the chapter of claims."""
    return [item.strip() for item in _ITEM.findall(_chapter(page))]


def _chapter(page: str) -> str:
    return page.partition(f"\n{CLAIMS}\n")[2].partition("\n## ")[0]


def claims_without_tests(page: str) -> Iterator[str]:
    """Each claim that names no test; a heading without items is one, and so is a line outside of items."""
    for claim in claims(page):
        if _TEST.search(claim) is None:
            yield f"names no test: {claim.splitlines()[0]}"
    for section in re.split(r"^### ", _chapter(page), flags=re.MULTILINE):
        heading, _, text = section.partition("\n")
        if heading.strip() and not _ITEM.search(text):
            yield f"names no test: {heading}"
        yield from (f"names no test: {line}" for line in _ITEM.sub("", text).splitlines() if line.strip())


def named_files(page: str) -> list[str]:
    """The files of the tests that are named."""
    return sorted({path for path, _ in _TEST.findall(page)})


def missing_tests(root: Path, page: str, tests_that_run: set[str], layers: Iterable[str]) -> Iterator[str]:
    """Each test that is named and isn't there, or isn't run.

    Args:
        root: The tree.
        page: The text.
        tests_that_run: Node ids of all in named_files() that are there.
        layers: Folders of tests/ that are run.
    """
    for reference in sorted(set(_IN_TESTS.findall(_chapter(page)))):
        found = _TEST.fullmatch(f"`{reference}`")
        if found is None:
            yield f"{reference} isn't FILE::TEST"
            continue
        path, name = found.groups()
        if not (root / path).is_file():
            yield f"there is no {path}"
        elif Path(path).parts[1] not in layers:
            yield f"{path} is in no layer that is run"
        elif reference not in tests_that_run:
            yield f"{path} has no {name} that is run"


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
