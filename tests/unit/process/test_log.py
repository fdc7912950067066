"""The log: what a line looks like, and that no reader can hold anybody up."""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.unit.process.program import run
from vmm_main import log
from vmm_main.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6})Z (\d+) (DEBUG|INFO|WARNING|ERROR) (\w+): (.*)\n")


@pytest.fixture
def sink() -> Iterator[log._Sink]:
    """The log's state, put back afterwards."""
    before = log._sink
    log._sink = log._Sink()
    yield log._sink
    if log._sink.fd != 2:
        os.close(log._sink.fd)
    log._sink = before


@pytest.mark.usefixtures("sink")
def test_line_and_levels(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("what was there before\n")
    log.open_log_file(str(path))
    before = datetime.now(UTC)
    logger = log.Logger("machine")
    logger.debug("not this")
    logger.info("started")
    logger.warning("careful")
    logger.error("broken")
    after = datetime.now(UTC)
    first, *lines = path.read_text().splitlines(keepends=True)
    assert first == "what was there before\n"
    matches = [_LINE.fullmatch(line) for line in lines]
    found = [match.groups()[1:] for match in matches if match is not None]
    assert found == [
        (str(os.getpid()), level, "machine", text)
        for level, text in (("INFO", "started"), ("WARNING", "careful"), ("ERROR", "broken"))
    ]
    for match in matches:
        assert match is not None
        assert before <= datetime.fromisoformat(match[1] + "+00:00") <= after


@pytest.mark.usefixtures("sink")
def test_without_d_standard_error_gets_warnings_only(capfd: pytest.CaptureFixture[str]) -> None:
    logger = log.Logger("start")
    logger.info("quiet")
    logger.warning("loud")
    assert [line.split(" ", 3)[3] for line in capfd.readouterr().err.splitlines()] == ["start: loud"]
    log.log_everything_to_stderr()
    logger.info("no longer quiet")
    assert capfd.readouterr().err.endswith("INFO start: no longer quiet\n")


@pytest.mark.usefixtures("sink")
def test_warning_once(capfd: pytest.CaptureFixture[str]) -> None:
    logger = log.Logger("uart")
    for _ in range(5):
        logger.warning_once("dropped")
    logger.warning_once("another")
    assert len(capfd.readouterr().err.splitlines()) == 2


@pytest.mark.usefixtures("sink")
def test_nobody_can_forge_a_line_or_move_the_cursor(capfd: pytest.CaptureFixture[str]) -> None:
    log.Logger("qmp").error("name\n2026 1 INFO qmp: forged\r\x1b[2J\x00\u2028\udcff é 漢")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith(r"qmp: name\n2026 1 INFO qmp: forged\r\x1b[2J\x00\u2028\udcff " + "é 漢")


@pytest.mark.usefixtures("sink")
@pytest.mark.parametrize("name", [".", "absent/log", "pipe"])
def test_log_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")  # nobody reads it: opening it must not wait for somebody
    with pytest.raises(ConfigurationError, match=r"-D .*: can't open the log file: "):
        log.open_log_file(str(tmp_path / name))


@pytest.mark.usefixtures("sink")
def test_named_pipe_with_a_slow_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log.open_log_file(str(tmp_path / "pipe"))
    _check_lost_entries(reading)
    os.close(reading)
    log.Logger("start").info("nobody reads")


def _check_lost_entries(reading: int) -> None:
    """Fills the pipe behind the log and reads again: whole lines, and how many are missing."""
    logger = log.Logger("start")
    for number in range(3000):
        logger.error(f"{number:04} {'x' * 60}")
    data = b""
    while len(data) < 60_000:
        data += os.read(reading, 65536)
    while True:
        try:
            os.set_blocking(reading, False)
            data += os.read(reading, 65536)
        except BlockingIOError:
            break
    logger.error("after")
    data += os.read(reading, 65536)
    lines = data.decode().splitlines(keepends=True)
    numbers = [
        int(match[5][:4]) for line in lines if (match := _LINE.fullmatch(line)) and match[5] != "after"
    ]
    assert numbers == list(range(len(numbers)))
    assert 0 < len(numbers) < 3000
    assert lines[-2] == f"({3000 - len(numbers)} log entries were lost here)\n"
    assert lines[-1].endswith("start: after\n")
    assert len(lines) == len(numbers) + 2


def _logs_to_a_standard_error_that_nobody_reads(notes: str) -> int:
    import fcntl
    import os

    from tests.unit.process.test_log import _check_lost_entries

    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    flags = fcntl.fcntl(2, fcntl.F_GETFL)
    _check_lost_entries(reading)
    assert fcntl.fcntl(2, fcntl.F_GETFL) == flags
    os.close(reading)
    from vmm_main import log

    log.Logger("start").error("the reader has gone")
    with open(notes, "w") as file:
        file.write("went on")
    return 0


def test_standard_error_that_nobody_reads(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    assert run(_logs_to_a_standard_error_that_nobody_reads, str(notes)).returncode == 0
    assert notes.read_text() == "went on"


def test_full_disk(sink: log._Sink) -> None:
    sink.fd = os.open("/dev/full", os.O_WRONLY)
    began_s = time.monotonic()
    log.Logger("start").error("no room")
    assert sink.lost_entries == 1
    assert time.monotonic() - began_s < 30


@pytest.mark.usefixtures("sink")
def test_what_a_start_says_waits_until_it_has_succeeded(capfd: pytest.CaptureFixture[str]) -> None:
    log.hold_back()
    for number in range(2):
        log.Logger("zygote").warning(f"try {number}")
    assert capfd.readouterr().err == ""
    log.write_held_back()
    log.Logger("zygote").warning("later")
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition("zygote: ")[2] for line in lines] == ["try 0", "try 1", "later"]


@pytest.mark.usefixtures("sink")
def test_what_a_failed_start_has_tried_is_forgotten(capfd: pytest.CaptureFixture[str]) -> None:
    log.hold_back()
    log.Logger("zygote").warning("a try")
    log.forget_held_back()
    log.Logger("zygote").warning("its end")
    assert "a try" not in (said := capfd.readouterr().err)
    assert "its end" in said


@pytest.mark.usefixtures("sink")
def test_what_waits_is_bounded(capfd: pytest.CaptureFixture[str]) -> None:
    log.hold_back()
    for number in range(1000):
        log.Logger("zygote").warning(f"try {number}")
    log.write_held_back()
    said = capfd.readouterr().err
    assert len(said.splitlines()) == log._WAITING_MAX + 1
    assert f"({1000 - log._WAITING_MAX} log entries were lost here)" in said


@pytest.mark.usefixtures("sink")
def test_a_log_file_does_not_wait(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    log.open_log_file(str(path))
    log.hold_back()
    log.Logger("zygote").warning("a try")
    assert "a try" in path.read_text()
    assert capfd.readouterr().err == ""
