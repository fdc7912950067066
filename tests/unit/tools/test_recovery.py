"""`tools/bench recovery`: it kills real processes, and says so when the budget is broken."""

from __future__ import annotations

import re

import pytest

from tools.benchmarks import recovery

pytestmark = pytest.mark.timeout(120)


def test_it_measures_real_deaths(capsys: pytest.CaptureFixture[str]) -> None:
    status = recovery.main(2)
    said = capsys.readouterr().out
    assert status in (0, recovery.STATUS_OVER_BUDGET)
    found = re.search(r"^raw: SIGKILL to the next used entry, in ms: ([\d.]+) ([\d.]+)$", said, re.MULTILINE)
    assert found is not None
    # A process isn't reaped, cloned, jailed and configured in no time.
    assert all(0.1 < float(each) < 10_000 for each in found.groups())
    requests = re.search(r"^(\d+) requests, none lost and none completed twice$", said, re.MULTILINE)
    assert requests is not None
    assert int(requests[1]) > 2 * recovery.DEPTH
    assert said.splitlines()[-1].endswith("within budget" if status == 0 else "OVER BUDGET")


def test_a_recovery_that_is_too_slow_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recovery, "kill_once", lambda _disk, _load: 50.1)
    assert recovery.main(3) == recovery.STATUS_OVER_BUDGET
    assert "median of 3 kills 50.10 ms, at most 50: OVER BUDGET" in capsys.readouterr().out
    monkeypatch.setattr(recovery, "kill_once", lambda _disk, _load: 50.0)
    assert recovery.main(3) == 0


def test_a_request_that_is_lost_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(_disk: recovery.Disk, load: recovery.Load) -> float:
        load.error = TimeoutError("2000 requests aren't done: Connection timed out")
        load.check()
        raise AssertionError("it was passed on")

    monkeypatch.setattr(recovery, "kill_once", lost)
    assert recovery.main(1) == recovery.STATUS_NOT_MEASURED
    assert "tools/bench: 2000 requests aren't done" in capsys.readouterr().err
