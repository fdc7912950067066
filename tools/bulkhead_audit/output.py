"""Standard output and error: a reader may leave early, a disk be full, an output be closed."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


class OutputError(Exception):
    """What was asked for can't be written; the text says why."""


def write(text: str) -> None:
    """Writes a report, or help. Who reads only its beginning, as `head` does, has what it wanted.

    Raises:
        OutputError: It can't be written.
    """
    if sys.stdout is None:  # so Python says that it was closed from the start
        raise OutputError("can't write: standard output is closed")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _let_go_of(sys.stdout)
    except OSError as error:
        _let_go_of(sys.stdout)
        raise OutputError(f"can't write: {error.strerror or error}") from error


def say(text: str) -> None:
    """Writes to standard error; where that can't be, the exit status is all that is left to tell."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _let_go_of(sys.stderr)


def printable(text: str) -> str:
    """One line without anything that a terminal would take for more than text."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def _let_go_of(stream: TextIO) -> None:
    """What is left in its buffer would fail again when Python ends."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, stream.fileno())
    os.close(null)
