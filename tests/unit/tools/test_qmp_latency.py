"""`tools/bench qmp-latency`: it asks a real main beside real attacks, and says when the budget is broken."""

from __future__ import annotations

import re

import pytest

from tools.benchmarks import qmp_latency

pytestmark = pytest.mark.timeout(120)


def test_it_measures_beside_real_attacks(capsys: pytest.CaptureFixture[str]) -> None:
    status = qmp_latency.main(1, 300)
    said, complained = capsys.readouterr()
    assert status in (0, qmp_latency.STATUS_OVER_BUDGET, qmp_latency.STATUS_NOT_MEASURED)
    assert (qmp_latency.TOO_BUSY in complained) == (status == qmp_latency.STATUS_NOT_MEASURED), complained
    medians = re.findall(r"^(\w+), raw: each round's median in ms: ([\d.]+)$", said, re.MULTILINE)
    assert [way for way, _ in medians] == list(qmp_latency.WAYS)
    assert all(0.001 < float(each) < 10_000 for _, each in medians)
    died = re.search(r"slowest [\d.]+ ms, (\d+) processes died$", said, re.MULTILINE)
    assert died is not None
    assert int(died[1]) > 0


def test_answers_that_are_too_late_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late = {"floods": 1.0 + qmp_latency.BUDGET_MORE_MS + 0.1}
    monkeypatch.setattr(qmp_latency, "measure", lambda way, count: ([late.get(way, 1.0)] * count, 0))
    assert qmp_latency.main(2, 200) == qmp_latency.STATUS_OVER_BUDGET
    said = capsys.readouterr().out
    more = "20.100 ms more than beside a quiet one, at most 20: OVER BUDGET"
    assert f"budget: qmp-latency, floods: 99 % within {more}" in said
    assert said.count("within budget") == len(qmp_latency.WAYS) - 2
    late.clear()
    assert qmp_latency.main(2, 200) == 0


@pytest.mark.parametrize("beside_floods_ms", [0.0, 1000.0])
def test_beside_a_busy_host_nothing_is_said_of_the_budget(
    beside_floods_ms: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = {"ms": qmp_latency.QUIET_AT_MOST_MS + 0.5}

    def measured(way: str, count: int) -> tuple[list[float], int]:
        return [quiet["ms"] + (beside_floods_ms if way == "floods" else 0.0)] * count, 0

    monkeypatch.setattr(qmp_latency, "measure", measured)
    assert qmp_latency.main(2, 200) == qmp_latency.STATUS_NOT_MEASURED
    said, complained = capsys.readouterr()
    assert "floods, raw: " in said
    assert "budget" not in said
    (line,) = complained.splitlines()
    assert line.startswith(
        "tools/bench: not measured: 99 % of the answers beside a quiet process took 10.500 ms"
    )
    assert line.endswith(f"at most 10 are allowed: {qmp_latency.TOO_BUSY}")
    quiet["ms"] = qmp_latency.QUIET_AT_MOST_MS
    assert qmp_latency.main(2, 200) == (qmp_latency.STATUS_OVER_BUDGET if beside_floods_ms else 0)


def test_a_vm_that_does_not_run_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def paused(_way: str, _count: int) -> tuple[list[float], int]:
        raise qmp_latency.LatencyError("the VM doesn't run: paused")

    monkeypatch.setattr(qmp_latency, "measure", paused)
    assert qmp_latency.main(1, 1) == qmp_latency.STATUS_NOT_MEASURED
    assert "tools/bench: the VM doesn't run: paused" in capsys.readouterr().err
