"""`tools/bench doorbell`: it measures real processes, and says so when the budget is broken."""

from __future__ import annotations

import re

import pytest

from tools.benchmarks import doorbell
from tools.benchmarks.placement import Placement, placements

pytestmark = pytest.mark.timeout(120)


def test_it_measures_both_in_every_placement(capfd: pytest.CaptureFixture[str]) -> None:
    status = doorbell.main(2, 300)
    said = capfd.readouterr().out
    assert status in (0, doorbell.STATUS_OVER_BUDGET)
    lines = [line for line in said.splitlines() if line.startswith("budget: ")]
    assert len(lines) == len(placements())
    assert all(line.endswith(": within budget") for line in lines) == (status == 0)
    for what in ("ping-pong", "null queue"):
        rounds = re.findall(rf"^  {what} +([\d.]+) ([\d.]+)$", said, re.MULTILINE)
        assert len(rounds) == len(placements())
        assert all(float(each) > 0 for pair in rounds for each in pair)


def test_a_queue_that_is_too_slow_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doorbell, "ping_pong", lambda count, placement: [1000] * count)
    monkeypatch.setattr(doorbell, "through_queue", lambda count, placement: [1310] * count)
    assert doorbell.main(2, 200) == doorbell.STATUS_OVER_BUDGET
    assert "1.310 x a bare ping-pong, at most 1.3: OVER BUDGET" in capsys.readouterr().out
    monkeypatch.setattr(doorbell, "through_queue", lambda count, placement: [1300] * count)
    assert doorbell.main(2, 200) == 0


def test_what_cannot_be_measured_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(count: int, placement: Placement) -> list[int]:
        raise doorbell.DoorbellError("Broken pipe")

    monkeypatch.setattr(doorbell, "through_queue", broken)
    monkeypatch.setattr(doorbell, "ping_pong", broken)
    assert doorbell.main(2, 200) == doorbell.STATUS_NOT_MEASURED
    assert capsys.readouterr().err == "tools/bench: Broken pipe\n"
