"""What `tools/fuzz` is told in vain: a line that names what is wrong and what is allowed, and status 2."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tools.fuzzing import command
from tools.fuzzing.targets import all_targets

NAMES = ", ".join(target.name for target in all_targets())


@pytest.fixture(autouse=True)
def nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_arguments: object) -> int:
        raise AssertionError("it goes on")

    monkeypatch.setattr(command, "_run", run)


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert command.main(words) == 2
    said, complained = capsys.readouterr()
    assert said == ""
    (line,) = complained.splitlines()
    return line


def test_without_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys) == f"tools/fuzz: NAME is missing: allowed are {NAMES}"


def test_a_name_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "virtio-nonsense") == f"tools/fuzz: NAME 'virtio-nonsense': allowed are {NAMES}"


def test_an_input_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refusal(capsys, "qmp", "--reproduce", str(tmp_path))
    assert line == f"tools/fuzz: --reproduce {tmp_path}: allowed is a file, one input"


@pytest.mark.parametrize("where", ["/proc/nowhere", "file", "read-only-lock"])
def test_a_workplace_that_is_none(where: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "read-only-lock" / "qmp" / "lock").mkdir(parents=True)
    work = tmp_path / where
    line = refusal(capsys, "qmp", "--work", str(work))
    assert line.startswith(f"tools/fuzz: --work {work}: {work}")
    assert line.endswith("; allowed is a directory to write to")


def test_a_workplace_that_is_in_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "qmp").mkdir()
    with (tmp_path / "qmp" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = refusal(capsys, "qmp", "--work", str(tmp_path))
    assert line == f"tools/fuzz: qmp is being fuzzed in {tmp_path}/qmp already; allowed is once at a time"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "1e6", "long"])
def test_a_time_that_is_none(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["qmp", f"--time={seconds}"])
    assert ended.value.code == 2
    complained = capsys.readouterr().err
    assert complained.endswith(f"{seconds}: allowed is a number above 0 and below 1,000,000\n")
