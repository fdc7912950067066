"""An exception in words, where no source can be read."""

from __future__ import annotations

import sys

from device_procs.device_runtime.failure_text import failure_text


def fail(text: str, depth: int = 0) -> None:
    if depth > 0:
        fail(text, depth - 1)
    raise ValueError(text)


def text_of(text: str, depth: int = 0) -> str:
    try:
        fail(text, depth)
    except ValueError as error:
        return failure_text(error)
    raise AssertionError


def test_it_says_what_and_where() -> None:
    text = text_of("out of range")
    assert text.startswith("ValueError: out of range (at test_failure_text.py:")
    assert " in fail, called at test_failure_text.py:" in text
    assert text.endswith(" in text_of)")


def test_only_the_innermost_places_are_named() -> None:
    assert text_of("deep", 20).count(" in fail") == 4


def test_it_fits_its_message_whatever_is_said() -> None:
    text = text_of("x" * 5000)
    assert len(text) == 1000
    assert " (at test_failure_text.py:" in text  # where it was is kept
    assert text.endswith(" in text_of)")


def test_an_exception_that_was_never_raised() -> None:
    assert failure_text(KeyError()) == "KeyError"


def test_no_module_is_imported_for_it() -> None:
    before = set(sys.modules)
    text_of("anything")
    assert set(sys.modules) == before
