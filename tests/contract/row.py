"""One sentence of the contract: the quoted phrase, the effect it has, and the test that proves it."""

from __future__ import annotations

from typing import NamedTuple

_EFFECTS = "tests/contract/test_effects.py"


class Row(NamedTuple):
    """What one phrase says of a light VM on x86_64.

    Exactly one of proofs, waits_for and reason is there.

    Attributes:
        quote: As it is in contract.txt, within one line.
        effect: What is observed, or will be.
        proofs: Node ids of the tests that observe it.
        waits_for: The device or part that doesn't exist yet.
        reason: Why no test observes it.
    """

    quote: str
    effect: str
    proofs: tuple[str, ...] = ()
    waits_for: str = ""
    reason: str = ""


class Section(NamedTuple):
    """The rows of one part of the contract."""

    title: str
    rows: tuple[Row, ...]


class LeftOut(NamedTuple):
    """What says nothing of a light VM on x86_64, and why.

    Attributes:
        reason: Why.
        sentences: Each wherever it occurs.
        ranges: All lines from the first that begins so (behind the range before) to the next that begins so.
    """

    reason: str
    sentences: tuple[str, ...] = ()
    ranges: tuple[tuple[str, str], ...] = ()


def proved(quote: str, effect: str, *proofs: str) -> Row:
    """A row with its tests."""
    return Row(quote, effect, proofs=proofs)


def option(quote: str, effect: str, *names: str) -> Row:
    """A row of an option: with it the effect is there, and dropping it loses the effect (effects.py)."""
    tests = ("test_the_option_has_its_effect", "test_dropping_it_loses_the_effect")
    return Row(quote, effect, proofs=tuple(f"{_EFFECTS}::{test}[{name}]" for name in names for test in tests))


def waits(quote: str, waits_for: str, effect: str) -> Row:
    """A row that is open until a part exists."""
    return Row(quote, effect, waits_for=waits_for)


def untested(quote: str, effect: str, reason: str) -> Row:
    """A row that no test here can decide."""
    return Row(quote, effect, reason=reason)
