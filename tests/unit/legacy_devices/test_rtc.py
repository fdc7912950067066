"""The clock, read and set as mc146818 drivers do."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmm_main.legacy_devices.rtc import Rtc

REGISTER_A, REGISTER_B, REGISTER_C, REGISTER_D = 10, 11, 12, 13
BINARY, HOURS_24, SET = 0x04, 0x02, 0x80
UPDATE_IN_PROGRESS = 0x80
FORMATS = pytest.mark.parametrize("form", [0, BINARY, HOURS_24, BINARY | HOURS_24])
MOMENTS = [
    datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2024, 2, 29, 0, 0, 0, tzinfo=UTC),
    datetime(2026, 7, 5, 12, 34, 56, tzinfo=UTC),
    datetime(2100, 3, 1, 11, 0, 1, tzinfo=UTC),
]


class HostClock:
    """The host's time as the test sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(time, "time", lambda: self.now_s)

    def set(self, moment: datetime) -> None:
        self.now_s = moment.timestamp()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HostClock:
    return HostClock(monkeypatch)


def read(rtc: Rtc, register: int) -> int:
    rtc.write(0, 1, register)
    return rtc.read(1, 1)


def write(rtc: Rtc, register: int, value: int) -> None:
    rtc.write(0, 1, register)
    rtc.write(1, 1, value)


def decoded(rtc: Rtc, register: int) -> int:
    raw = read(rtc, register)
    return raw if read(rtc, REGISTER_B) & BINARY else int(f"{raw:x}")


def encoded(rtc: Rtc, value: int) -> int:
    return value if read(rtc, REGISTER_B) & BINARY else int(str(value), 16)


def read_time(rtc: Rtc) -> datetime:
    raw_hours = read(rtc, 4)
    is_pm = bool(raw_hours & 0x80)
    binary = read(rtc, REGISTER_B) & BINARY
    hours = raw_hours & 0x7F if binary else int(f"{raw_hours & 0x7F:x}")
    if not read(rtc, REGISTER_B) & HOURS_24:
        assert 1 <= hours <= 12
        hours = hours % 12 + 12 * is_pm
    return datetime(
        decoded(rtc, 0x32) * 100 + decoded(rtc, 9), decoded(rtc, 8), decoded(rtc, 7), hours, decoded(rtc, 2),
        decoded(rtc, 0), tzinfo=UTC,
    )  # fmt: skip


def set_time(rtc: Rtc, moment: datetime) -> None:
    """mc146818_set_time(): with the updates stopped."""
    before = read(rtc, REGISTER_B)
    write(rtc, REGISTER_B, before | SET)
    hours = moment.hour
    pm = 0
    if not before & HOURS_24:
        pm = 0x80 if hours >= 12 else 0
        hours = hours % 12 or 12
    for register, value in (
        (0, moment.second), (2, moment.minute), (7, moment.day), (8, moment.month), (9, moment.year % 100),
        (0x32, moment.year // 100),
    ):  # fmt: skip
        write(rtc, register, encoded(rtc, value))
    write(rtc, 4, encoded(rtc, hours) | pm)
    write(rtc, REGISTER_B, before)


@FORMATS
@pytest.mark.parametrize("moment", MOMENTS)
def test_shows_the_hosts_time_in_every_format(clock: HostClock, form: int, moment: datetime) -> None:
    clock.set(moment)
    rtc = Rtc(base_is_utc=True)
    assert read(rtc, REGISTER_B) == HOURS_24, "as PC firmware leaves it"
    write(rtc, REGISTER_B, form)
    assert read_time(rtc) == moment
    assert decoded(rtc, 6) == moment.isoweekday() % 7 + 1
    clock.now_s += 61
    assert read_time(rtc) == moment + timedelta(seconds=61)


@FORMATS
@pytest.mark.parametrize("moment", MOMENTS)
def test_runs_on_from_what_it_is_set_to(clock: HostClock, form: int, moment: datetime) -> None:
    clock.set(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    rtc = Rtc(base_is_utc=True)
    write(rtc, REGISTER_B, form)
    set_time(rtc, moment)
    assert read_time(rtc) == moment
    clock.now_s += 86_400
    assert read_time(rtc) == moment + timedelta(days=1)


def test_known_encodings(clock: HostClock) -> None:
    clock.set(datetime(2026, 11, 24, 0, 59, 58, tzinfo=UTC))
    rtc = Rtc(base_is_utc=True)
    assert [read(rtc, register) for register in (0, 2, 4, 6, 7, 8, 9, 0x32)] == [
        0x58, 0x59, 0x00, 3, 0x24, 0x11, 0x26, 0x20,
    ]  # fmt: skip
    write(rtc, REGISTER_B, 0)
    assert read(rtc, 4) == 0x12
    clock.now_s += 12 * 3600
    assert read(rtc, 4) == 0x92
    clock.now_s += 3600
    assert read(rtc, 4) == 0x81


def test_set_bit_stops_the_clock(clock: HostClock) -> None:
    moment = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    clock.set(moment)
    rtc = Rtc(base_is_utc=True)
    write(rtc, REGISTER_B, HOURS_24 | SET)
    clock.now_s += 100
    assert read_time(rtc) == moment
    write(rtc, 0, 0x30)
    assert read(rtc, 0) == 0x30
    write(rtc, REGISTER_B, HOURS_24)
    assert read_time(rtc) == moment.replace(second=30)
    clock.now_s += 1
    assert read_time(rtc) == moment.replace(second=31)


def test_one_register_written_while_the_clock_runs(clock: HostClock) -> None:
    moment = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    clock.set(moment)
    rtc = Rtc(base_is_utc=True)
    write(rtc, 4, 0x23)
    clock.now_s += 2
    assert read_time(rtc) == moment.replace(hour=23, second=11)


def test_update_in_progress_shortly_before_the_second(clock: HostClock) -> None:
    rtc = Rtc(base_is_utc=True)
    for now_s, expected in ((10.5, 0), (10.9997, 0), (10.9999, UPDATE_IN_PROGRESS), (11.0, 0)):
        clock.now_s = now_s
        assert read(rtc, REGISTER_A) & UPDATE_IN_PROGRESS == expected
    clock.now_s = 10.9999
    write(rtc, REGISTER_B, HOURS_24 | SET)
    assert not read(rtc, REGISTER_A) & UPDATE_IN_PROGRESS, "no update comes while SET stops them"


def test_local_time(clock: HostClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        moment = datetime(2026, 1, 15, 20, 0, 0, tzinfo=UTC)
        clock.set(moment)
        shown = read_time(Rtc(base_is_utc=False))
        assert shown.replace(tzinfo=None) == moment.astimezone(ZoneInfo("Pacific/Auckland")).replace(
            tzinfo=None
        )
        assert read_time(Rtc(base_is_utc=True)) == moment
    finally:
        monkeypatch.undo()
        time.tzset()


def test_status_registers_and_memory() -> None:
    rtc = Rtc(base_is_utc=True)
    assert read(rtc, REGISTER_D) == 0x80, "the battery is good"
    write(rtc, REGISTER_D, 0)
    assert read(rtc, REGISTER_D) == 0x80
    write(rtc, REGISTER_C, 0xFF)
    assert read(rtc, REGISTER_C) == 0
    write(rtc, REGISTER_A, 0xFF)
    assert read(rtc, REGISTER_A) & 0x7F == 0x7F
    for register in (0x0E, 0x31, 0x33, 0x7F):
        write(rtc, register, register ^ 0x5A)
    assert [read(rtc, register) for register in (0x0E, 0x31, 0x33, 0x7F)] == [0x54, 0x6B, 0x69, 0x25]
    assert rtc.read(0, 1) == 0xFF, "the index port can't be read back"
    write(rtc, 0x8E, 1)
    assert read(rtc, 0x0E) == 1, "bit 7 of the index masks NMIs and is no part of it"


_ACCESSES = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from([0, 2, 4, 6, 7, 8, 9, 10, 11, 0x32]),
        st.integers(min_value=0, max_value=255),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(_ACCESSES)
def test_no_guest_can_break_the_clock(accesses: list[tuple[bool, int, int]]) -> None:
    rtc = Rtc(base_is_utc=True)
    for is_write, register, value in accesses:
        if is_write:
            write(rtc, register, value)
        assert 0 <= read(rtc, register) <= 0xFF


def test_a_century_beyond_two_digits(clock: HostClock) -> None:
    clock.set(MOMENTS[0])
    rtc = Rtc(base_is_utc=True)
    write(rtc, 0x32, 0xFF)  # 15 tens and 15
    assert read(rtc, 0x32) == 0x65
    assert read(rtc, 9) == 0x99
