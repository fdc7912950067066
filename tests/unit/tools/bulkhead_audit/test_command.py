"""bulkhead-audit's command line where there is no VM as it knows them, and what it reads in /proc."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tools.bulkhead_audit.conftest import GREETING, READY, Refusal, Serve
from tools.bulkhead_audit.audit import Audited
from tools.bulkhead_audit.command import main
from tools.bulkhead_audit.descriptors import _registered
from tools.bulkhead_audit.finding import CERTIFIED, DIFFERENCE, OK, UNREAD, Finding
from tools.bulkhead_audit.mappings import read_mappings
from tools.bulkhead_audit.report import as_json, result_of, table


def test_nobody_listens(refusal: Refusal, tmp_path: Path) -> None:
    assert "nowhere: can't connect: No such file" in refusal("--qmp", str(tmp_path / "nowhere"))


def test_it_is_no_socket(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for address in (f"{tmp_path}/file", f"unix:{tmp_path}/file,server"):
        assert refusal("--qmp", address) == f"bulkhead-audit: {tmp_path}/file: it isn't a socket\n"


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n", b"[]\n", b'{"hello": 1}\n'])
def test_it_is_not_qmp(refusal: Refusal, serve: Serve, said: bytes) -> None:
    assert "doesn't speak QMP" in refusal("--qmp", serve(raw=said))


def test_there_are_too_many_clients(refusal: Refusal, serve: Serve) -> None:
    error = {"error": {"class": "GenericError", "desc": "32 clients already"}}
    assert "32 clients already" in refusal("--qmp", serve(error))


def test_the_only_place_is_taken(refusal: Refusal, serve: Serve) -> None:
    """A chardev's monitor lets a second client connect and says nothing."""
    said = refusal("--timeout", "0.05", "--qmp", serve(stays=True))
    assert "no greeting within 0.05 s" in said
    assert "give the VM a further -qmp" in said


def test_it_hangs_up(refusal: Refusal, serve: Serve) -> None:
    assert "the VM has hung up" in refusal("--qmp", serve(GREETING, READY))


def test_a_vm_that_is_too_old(refusal: Refusal, serve: Serve) -> None:
    error = {"error": {"class": "CommandNotFound", "desc": "The command has not been found"}}
    said = refusal("--qmp", serve(GREETING, READY, error))
    assert "query-process-entitlements: The command has not been found; audit this VM with" in said


def test_events_are_no_answers(refusal: Refusal, serve: Serve) -> None:
    error = {"error": {"class": "GenericError", "desc": "no, thank you"}}
    path = serve(
        raw=b"".join(
            json.dumps(line).encode() + b"\n" for line in (GREETING, {"event": "STOP"}, READY, error)
        ),
        stays=True,
    )
    assert "query-process-entitlements: no, thank you" in refusal("--qmp", path)


@pytest.mark.parametrize("text", ["0", "-1", "3601", "soon", "nan", ""])
def test_a_timeout_that_is_not_allowed(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--qmp", "q", f"--timeout={text}"])
    assert ended.value.code == 2
    assert "allowed is more than 0 and at most 3600 seconds" in capsys.readouterr().err


def _audited(*verdicts: str) -> list[Audited]:
    entitled: dict[str, Any] = {"name": "rng0", "role": "device", "kind": "virtio-rng", "pid": 7}
    memory = {"pss-kib": 4, "private-kib": 3, "shared-kib": 2, "page-tables-kib": 1}
    findings = [Finding("capabilities", "none", "CapEff SETUID", verdict) for verdict in verdicts]
    return [Audited(entitled, findings, memory, memory["page-tables-kib"])]


@pytest.mark.parametrize(
    ("verdicts", "result", "unprivileged"),
    [
        ((OK,), "as-entitled", "as-entitled"),
        ((OK, CERTIFIED), "incomplete", "as-entitled"),
        ((OK, UNREAD), "incomplete", "as-entitled"),
        ((OK, DIFFERENCE), "differs", "differs"),
        ((DIFFERENCE, UNREAD, CERTIFIED), "differs", "differs"),
    ],
)
def test_the_result(verdicts: tuple[str, ...], result: str, unprivileged: str) -> None:
    audited = _audited(*verdicts)
    assert result_of(audited, unprivileged=False) == result
    assert result_of(audited, unprivileged=True) == unprivileged
    told = as_json(audited, result)
    counted = (told["differences"], told["certified"], told["not-read"])
    assert counted == tuple(map(verdicts.count, (DIFFERENCE, CERTIFIED, UNREAD)))
    assert [finding["verdict"] for finding in told["processes"][0]["findings"]] == list(verdicts)


def test_the_table_can_leave_out_what_is_right() -> None:
    lines = list(table(_audited(OK, DIFFERENCE), everything=False))
    assert lines[0] == "rng0 (virtio-rng), process 7"
    assert lines[1].split() == ["capabilities", "none", "CapEff", "SETUID", "DIFFERENCE"]
    assert lines[2] == "  1 more is ok"
    assert sum("CapEff" in line for line in table(_audited(OK, DIFFERENCE), everything=True)) == 2


def test_what_is_counted_has_its_number() -> None:
    one = list(table(_audited(DIFFERENCE), everything=False))[-1]
    assert one.startswith("1 process, 1 comparison: 1 difference, 0 by birth certificates alone")
    two = list(table(_audited(DIFFERENCE, DIFFERENCE) + _audited(), everything=False))[-1]
    assert two.startswith("2 processes, 2 comparisons: 2 differences, ")


def test_page_tables_are_those_of_all_processes() -> None:
    """Who can't read a process's memory can read what its page tables are."""
    (seen,) = _audited(OK)
    audited = [seen, Audited(seen.entitled, seen.findings, None, 72)]
    assert as_json(audited, "as-entitled")["page-tables-kib"] == 73
    assert list(table(audited, everything=True))[-1].endswith("; 73 KiB of page tables")


@pytest.mark.parametrize(
    ("info", "names"),
    [
        ("UserFiles:\t2\n    0: /d.img\n    1: socket:[7]\nUserBufs:\t0\n", ("/d.img", "socket:[7]")),
        ("UserFiles:\t2\n    0: /d.img\n    1: <none>\nUserBufs:\t0\n", ("/d.img",)),
        ("UserFiles:\t2\nUserBufs:\t0\n", ("(not named)", "(not named)")),
        ("UserFiles:\t0\nUserBufs:\t0\n", ()),
    ],
)
def test_what_a_ring_has_registered(info: str, names: tuple[str, ...]) -> None:
    assert _registered(info) == names


def test_mappings_of_files_with_spaces() -> None:
    line = "7f0000000000-7f0000002000 r-xp 00001000 fe:03 42   /a file (deleted)\n"
    (mapping,) = read_mappings(line + "")
    assert (mapping.bytes, mapping.inode, mapping.path) == (0x2000, 42, "/a file (deleted)")
    assert mapping.is_executable
    assert not mapping.is_writable
    assert not mapping.is_shared
