"""Where the report goes: a reader that leaves, a full disk, a closed output; and errors as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.tools.bulkhead_audit.conftest import GREETING, READY, Serve
from tools.bulkhead_audit.command import main

# The command, of a VM whose only finding is the last argument's.
PROGRAM = """
import sys
from tools.bulkhead_audit import command
from tools.bulkhead_audit.audit import Audited
from tools.bulkhead_audit.finding import Finding

class Client:
    def __init__(self, *_): pass
    def close(self): pass

*options, verdict, found = sys.argv[1:]
main = {"name": "main", "role": "main", "pid": 1}
command.QmpClient = Client
command.audit = lambda *_, **__: [Audited(main, [Finding("aspect", "none", found, verdict)], None)]
sys.exit(command.main(["--qmp", "/nowhere", *options]))
"""
CHECKOUT = Path(__file__).resolve().parents[4]
TABLE: list[str] = []
JSON = ["--json"]
DEADLINE_S = 30.0


def run(*arguments: str, shell: str = '"$@"', **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The program by a shell, which does with its outputs what is told."""
    return subprocess.run(
        ["bash", "-c", shell, "bash", sys.executable, "-c", PROGRAM, *arguments],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize("options", [TABLE, JSON])
@pytest.mark.parametrize(("verdict", "status"), [("ok", b"0"), ("DIFFERENCE", b"1"), ("not read", b"2")])
def test_a_reader_that_leaves_takes_nothing_from_the_status(
    options: list[str], verdict: str, status: bytes
) -> None:
    """The reader is gone before there is anything to read."""
    shell = 'exec 3>&1; { "$@"; echo "$?" >&3; } | { exec <&-; }'
    ran = run(*options, verdict, "x" * 100_000, shell=shell)
    assert ran.stdout.split() == [status]
    assert ran.stderr == b""


@pytest.mark.parametrize("options", [TABLE, JSON])
@pytest.mark.parametrize(
    ("shell", "why"),
    [('"$@" >/dev/full', "No space left on device"), ('"$@" >&-', "standard output is closed")],
)
def test_a_report_that_cannot_be_written(options: list[str], shell: str, why: str) -> None:
    ran = run(*options, "DIFFERENCE", "more", shell=shell)
    assert ran.stderr.decode() == f"bulkhead-audit: can't write: {why}\n"
    assert ran.returncode == 2


@pytest.mark.parametrize(
    ("shell", "why"),
    [('"$@" >/dev/full', "No space left on device"), ('"$@" >&-', "standard output is closed")],
)
def test_help_that_cannot_be_written(shell: str, why: str) -> None:
    ran = run("--help", "ok", "none", shell=shell)
    assert ran.stderr.decode() == f"bulkhead-audit: can't write: {why}\n"
    assert ran.returncode == 2


@pytest.mark.parametrize("shell", ['"$@"', '"$@" 2>/dev/full', '"$@" 2>&-'])
def test_a_command_line_that_is_not_understood_has_its_status(shell: str) -> None:
    ran = run("--hasty", "ok", "none", shell=shell)
    assert ran.returncode == 2
    assert (b"error: unrecognized arguments: --hasty" in ran.stderr) == (shell == '"$@"')


def test_help_is_written() -> None:
    ran = run("--help", "ok", "none")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.startswith(b"usage: bulkhead-audit [-h] --qmp SOCKET")


@pytest.mark.parametrize("shell", ['"$@" 2>/dev/full >/dev/full', '"$@" 2>&- >/dev/full', '"$@" 2>&- >&-'])
def test_an_error_that_cannot_be_written_has_its_status(shell: str) -> None:
    assert run("ok", "none", shell=shell).returncode == 2


def test_what_is_no_text_is_escaped() -> None:
    ran = run("ok", os.fsdecode(b"\xff\xe2\x98\x83\x1b[31m"), PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert rb"\udcff\u2603\x1b[31m" in ran.stdout
    ran = run("--json", "ok", os.fsdecode(b"\xff\x1b"))
    assert json.loads(ran.stdout)["processes"][0]["findings"][0]["found"] == "\udcff\x1b"


def test_an_error_as_json(capsys: pytest.CaptureFixture[str], serve: Serve) -> None:
    error = {"error": {"class": "GenericError", "desc": "no, thank you"}}
    assert main(["--json", "--qmp", serve(GREETING, READY, error)]) == 2
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["bulkhead-audit"], told["result"]) == (1, "not-audited")
    assert told["error"].endswith("query-process-entitlements: no, thank you")
    assert captured.err == f"bulkhead-audit: {told['error']}\n"


def test_ctrl_c_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.bulkhead_audit.command.QmpClient", interrupted)
    assert main(["--qmp", "/nowhere"]) == 2
    assert capsys.readouterr().err == "bulkhead-audit: interrupted\n"
