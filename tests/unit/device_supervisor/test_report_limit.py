"""How many reports of a device get through, and that the others are counted."""

from __future__ import annotations

from vmm_main.device_supervisor.report_limit import REPORTS_AT_ONCE, REPORTS_PER_S, ReportLimit


def test_so_many_at_once_then_so_many_a_second() -> None:
    limit = ReportLimit(0.0)
    assert [limit.admit(0.0) for _ in range(REPORTS_AT_ONCE)] == [""] * REPORTS_AT_ONCE
    assert [limit.admit(0.0) for _ in range(7)] == [None] * 7
    assert limit.admit(1 / REPORTS_PER_S) == " (held back since the last: 7)"
    assert limit.admit(1 / REPORTS_PER_S) is None
    assert limit.admit(2 / REPORTS_PER_S) == " (held back since the last: 1)"


def test_a_quiet_time_earns_no_more_than_the_first_ones() -> None:
    limit = ReportLimit(0.0)
    assert [limit.admit(1e6) for _ in range(REPORTS_AT_ONCE + 1)] == [*[""] * REPORTS_AT_ONCE, None]
