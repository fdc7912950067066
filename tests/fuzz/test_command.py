"""`tools/fuzz` leaves nothing, however it ends, and its status says how."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from tests.started_processes import WITH_DEFAULT_SIGNALS, processes_with

CHECKOUT = Path(__file__).resolve().parents[2]
FUZZ = CHECKOUT / "tools" / "fuzz"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Popen[str]]:
    """Starts it with what it leaves in directories of the test's."""
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}

    def start(name: str, *options: str) -> Popen[str]:
        words = [*WITH_DEFAULT_SIGNALS, str(FUZZ), name, "--work", str(tmp_path / "work"), *options]
        return Popen(words, stderr=PIPE, text=True, env=environment)

    return start


def expect_nothing_left(tmp_path: Path) -> None:
    assert list((tmp_path / "temporary").iterdir()) == []
    assert list(tmp_path.glob("work/*/temporary/*")) == []
    assert processes_with(str(tmp_path)) == []


def test_at_its_end(start: Callable[..., Popen[str]], tmp_path: Path) -> None:
    with start("qmp", "--time", "1") as fuzz:
        assert fuzz.wait() == 0
    expect_nothing_left(tmp_path)


def test_an_input_that_shows_nothing(start: Callable[..., Popen[str]], tmp_path: Path) -> None:
    """Which the engine doesn't say."""
    (tmp_path / "input").write_bytes(b"x")
    with start("qmp", "--reproduce", str(tmp_path / "input")) as fuzz:
        assert fuzz.stderr is not None
        *_, last = fuzz.stderr
        assert fuzz.wait() == 0
    assert last == f"tools/fuzz: qmp: {tmp_path}/input shows nothing\n"
    expect_nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["qmp", "virtio-rng"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_when_a_signal_ends_it(
    name: str, number: signal.Signals, start: Callable[..., Popen[str]], tmp_path: Path
) -> None:
    """Of an engine in Python, and of one in C."""
    with start(name) as fuzz:
        assert fuzz.stderr is not None
        while "INITED" not in (line := fuzz.stderr.readline()):
            assert line, "it has ended"
        fuzz.send_signal(number)
        assert fuzz.wait() == -number
        assert "Traceback" not in fuzz.stderr.read()
    expect_nothing_left(tmp_path)
