"""A peer at a QMP socket that says what a test tells it to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tools.bulkhead_audit.command import main

GREETING: dict[str, Any] = {"QMP": {"version": {}, "capabilities": []}}
READY: dict[str, Any] = {"return": {}}

Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Listens at a socket and says these lines there, one at once and one after each line that comes.

    Then, if there is a flood, that without end; or it stays.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        path = str(tmp_path / "qmp")

        def start(
            *lines: object, raw: bytes | None = None, stays: bool = False, flood: bytes | None = None
        ) -> str:
            listener.bind(path)
            listener.listen()
            thread = threading.Thread(target=_answer, args=(listener, lines, raw, stays, flood))
            thread.start()
            stack.callback(thread.join)
            return path

        yield start


def _answer(
    listener: socket.socket, lines: tuple[object, ...], raw: bytes | None, stays: bool, flood: bytes | None
) -> None:
    client, _ = listener.accept()
    with client, client.makefile("rb") as incoming, suppress(BrokenPipeError, ConnectionResetError):
        if raw is not None:
            client.sendall(raw)
        for number, line in enumerate(lines):
            if number > 0 and not incoming.readline():
                return
            client.sendall(json.dumps(line).encode() + b"\n")
        while flood is not None:
            client.sendall(flood)
        if stays:
            incoming.read()


Refusal = Callable[..., str]


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    """What the command says when it can't audit: one line, whatever it was told, and status 2."""

    def run(*arguments: str) -> str:
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("bulkhead-audit: ")
        assert captured.err.count("\n") == 1, captured.err
        assert captured.err.rstrip("\n").isprintable()
        return captured.err

    return run
