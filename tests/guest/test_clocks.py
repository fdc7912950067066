"""What tells the guest the time."""

from __future__ import annotations

import datetime

import pytest

from tests.guest.conftest import StartBareMetal

pytestmark = pytest.mark.timeout(180)


def _bcd(value: int) -> int:
    return (value >> 4) * 10 + (value & 15)


@pytest.mark.parametrize(("base", "zone"), [("utc", datetime.UTC), ("localtime", None)])
def test_the_rtc_has_the_hosts_time(start: StartBareMetal, base: str, zone: datetime.timezone | None) -> None:
    before = datetime.datetime.now(zone).replace(tzinfo=None, microsecond=0)
    report = start("clocks", "-rtc", f"base={base}").expect_power_off()
    after = datetime.datetime.now(zone).replace(tzinfo=None)
    assert report.number("register-b") == 0x02, "24 hours, BCD"
    names = ("century", "year", "month", "day", "hour", "minute", "second")
    century, year, month, day, hour, minute, second = (_bcd(report.number(name)) for name in names)
    assert before <= datetime.datetime(century * 100 + year, month, day, hour, minute, second) <= after


def test_kvmclock_and_tsc_deadline_are_offered_and_work(start: StartBareMetal) -> None:
    report = start("clocks").expect_power_off()
    assert report.number("hypervisor") == 1
    assert report.number("tsc-deadline") == 1
    assert report.number("kvmclock") == report.number("kvmclock-stable") == 1
    assert report.number("kvmclock-multiplier") > 0
    assert 0 < report.number("kvmclock-time") < 60e9, "nanoseconds since this VM began"
    assert report.number("timer-interrupts") == 3
    assert report.number("timer-early") == 0
