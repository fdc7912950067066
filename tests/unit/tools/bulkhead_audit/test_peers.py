"""Whoever is at the socket: bounded in time and memory, and one line about what is wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.tools.bulkhead_audit.conftest import GREETING, READY, Refusal, Serve
from tools.bulkhead_audit import qmp_client
from tools.bulkhead_audit.command import main
from tools.bulkhead_audit.qmp_client import QmpClient, QmpError

EVENTS = b'{"event": "STOP"}\n' * 1000
ENDLESS = 1 << 60


@pytest.mark.timeout(60)
@pytest.mark.parametrize("before", [(), (GREETING, READY)])
def test_a_flood_without_an_end_of_line(refusal: Refusal, serve: Serve, before: tuple[Any, ...]) -> None:
    said = refusal("--timeout", "3600", "--qmp", serve(*before, flood=b"x" * (1 << 16)))
    assert "a line of more than 4 MiB: whoever listens there doesn't speak QMP" in said


@pytest.mark.timeout(60)
def test_a_flood_of_events(refusal: Refusal, serve: Serve) -> None:
    said = refusal("--timeout", "3600", "--qmp", serve(GREETING, READY, flood=EVENTS))
    assert "more than 32 MiB in all" in said


@pytest.mark.timeout(60)
@pytest.mark.parametrize("flood", [b"x" * (1 << 16), EVENTS])
def test_a_flood_does_not_stop_the_clock(
    refusal: Refusal, serve: Serve, monkeypatch: pytest.MonkeyPatch, flood: bytes
) -> None:
    monkeypatch.setattr(qmp_client, "LONGEST_LINE_BYTES", ENDLESS)
    monkeypatch.setattr(qmp_client, "MOST_BYTES", ENDLESS)
    said = refusal("--timeout", "0.05", "--qmp", serve(GREETING, flood=flood))
    assert "no answer to qmp_capabilities within 0.05 s" in said


def test_answers_that_are_all_almost_late(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its time, but all together not."""
    now_s = 0.0

    def monotonic() -> float:
        return now_s

    monkeypatch.setattr(qmp_client, "time", SimpleNamespace(monotonic=monotonic))
    client = QmpClient(serve(GREETING, *[READY] * 6), 10.0)
    for _ in range(3):
        client.execute("query-process-entitlements")
        now_s += 9.0
    with pytest.raises(QmpError, match="the audit isn't done within 20 s"):
        client.execute("query-process-entitlements")
    client.close()


MAIN: dict[str, Any] = {
    **{"name": "main", "role": "main", "pid": 1, "settled": True, "uid": 0, "gid": 0},
    **{"threads": [], "descriptors": [], "own-descriptors": [], "shared-memory": []},
}
_NESTED = "[" * 100_000


def changed(**members: Any) -> dict[str, Any]:
    return {"return": [{**MAIN, **members}]}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"return": 7}, "expected: array"),
        ({"return": {}}, "expected: array"),
        ({"return": []}, "one main process, which comes first"),
        ({"return": [1]}, "'[0]', expected: object"),
        ({"return": [{}]}, "'[0].name' is missing"),
        ({"return": [{name: MAIN[name] for name in MAIN if name != "pid"}]}, "'[0].pid' is missing"),
        (changed(pid="1"), "'[0].pid', expected: integer"),
        (changed(role="sailor"), "sailor"),
        (changed(more=1), "'[0].more' is unexpected"),
        (changed(name="rng0", role="device"), "one main process, which comes first"),
        ({"error": "no"}, "an error without a text"),
        ({"error": {"desc": ["no"]}}, "an error without a text"),
        ({"error": {"desc": "two\nlines \x1b[31m"}}, r"two\nlines \x1b[31m"),
        ({"error": {"desc": "x" * 5000}}, "xxx..."),
    ],
)
def test_an_answer_of_another_shape(refusal: Refusal, serve: Serve, answer: object, why: str) -> None:
    said = refusal("--qmp", serve(GREETING, READY, answer))
    assert "query-process-entitlements: " in said
    assert why in said
    assert len(said) < 1000


@pytest.mark.parametrize("said", [_NESTED, '{"return": ' + _NESTED, '{"QMP": \ud800}', '{"error": "no"}'])
def test_a_greeting_of_another_shape(refusal: Refusal, serve: Serve, said: str) -> None:
    told = refusal("--qmp", serve(raw=said.encode("utf-8", "surrogatepass") + b"\n"))
    assert "doesn't speak QMP" in told


@pytest.mark.parametrize("spelling", ["unix:{},server,nowait", "unix:{}", "UNIX:{},server=on,wait=off", "{}"])
def test_the_address_as_it_is_on_the_vms_command_line(refusal: Refusal, serve: Serve, spelling: str) -> None:
    error = {"error": {"class": "GenericError", "desc": "here I am"}}
    assert "here I am" in refusal("--qmp", spelling.format(serve(error)))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("chardev:monitor", "chardev:monitor is one of the VM's chardevs; allowed is its socket's path"),
        ("stdio", "stdio can't be joined; allowed is the path of a QMP socket"),
        ("{},server,nowait", "allowed is the path of a QMP socket: {}"),
        ("unix:", "allowed is the path of a QMP socket"),
        ("", "its path is empty; allowed is the path of a QMP socket"),
    ],
)
def test_an_address_that_is_no_socket(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, address: str, why: str
) -> None:
    path = tmp_path / "qmp"
    path.touch()
    with pytest.raises(SystemExit) as ended:
        main(["--qmp", address.format(path)])
    assert ended.value.code == 2
    assert why.format(path) in capsys.readouterr().err
