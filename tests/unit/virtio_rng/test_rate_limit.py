"""The token bucket on a clock of our own: the average holds, whatever is asked and however late one wakes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.virtio_rng.module import PERIOD_MAX_MS

MS = 1_000_000
START_NS = 1 << 40


def bucket(max_bytes: int, period_ms: int) -> Any:
    made = ffi.new("struct rng_bucket *")
    lib.rng_bucket_init(made, max_bytes, period_ms, START_NS)
    return made


@st.composite
def limits(draw: st.DrawFn) -> tuple[int, int]:
    """max-bytes and period in the contract's range."""
    period = draw(st.integers(1, 10_000) | st.integers(1, PERIOD_MAX_MS))
    lowest, highest = -(-64 * period // 1000), 1_000_000 * period
    return draw(st.integers(lowest, highest)), period


requests = st.lists(st.tuples(st.integers(1, 65536), st.integers(0, 50 * MS)), min_size=1, max_size=60)


@given(limits(), requests)
def test_never_more_than_the_average_and_one_bucket(
    limit: tuple[int, int], asked: list[tuple[int, int]]
) -> None:
    """Requests with pauses between them: by no moment has more come out than flowed in, and one bucket."""
    max_bytes, period_ms = limit
    made, now, out = bucket(*limit), START_NS, 0
    for wanted, pause_ns in asked:
        now += pause_ns
        take = min(wanted, max_bytes)
        lib.rng_bucket_fill(made, now, 0)
        ready = lib.rng_bucket_ready_ns(made, take)
        if ready > now:
            now = ready + pause_ns  # woken late
            lib.rng_bucket_fill(made, now, 1)
        assert lib.rng_bucket_ready_ns(made, take) <= now
        lib.rng_bucket_take(made, take)
        out += take
        assert out <= max_bytes + Fraction(max_bytes * (now - START_NS), period_ms * MS)


@given(limits(), st.lists(st.integers(0, 5 * MS), min_size=20, max_size=60), st.integers(1, 65536))
def test_late_wakeups_cost_nothing(limit: tuple[int, int], late_ns: list[int], wanted: int) -> None:
    """A driver that always has a request waiting gets all that flowed in, but for what is in the bucket."""
    max_bytes, period_ms = limit
    made, now, out = bucket(*limit), START_NS, 0
    take = min(wanted, max_bytes)
    for late in late_ns:
        lib.rng_bucket_fill(made, now, 0)
        ready = lib.rng_bucket_ready_ns(made, take)
        if ready > now:
            now = ready + late
            lib.rng_bucket_fill(made, now, 1)
        lib.rng_bucket_take(made, take)
        out += take
        flowed_in = max_bytes + Fraction(max_bytes * (now - START_NS), period_ms * MS)
        # Nothing has run over: it came out, or is still there.
        assert out + made.level_bytes <= flowed_in < out + made.level_bytes + 1


@given(limits(), st.integers(0, 1 << 50))
def test_an_idle_bucket_holds_no_more_than_one_period(limit: tuple[int, int], idle_ns: int) -> None:
    made = bucket(*limit)
    lib.rng_bucket_fill(made, START_NS + idle_ns, 0)
    assert made.level_bytes == limit[0]
    assert made.level_part == 0


@given(limits(), st.integers(1, 65536))
def test_ready_means_ready_and_not_a_nanosecond_before(limit: tuple[int, int], wanted: int) -> None:
    made, wanted = bucket(*limit), min(wanted, limit[0])
    lib.rng_bucket_take(made, limit[0])
    ready = lib.rng_bucket_ready_ns(made, wanted)
    lib.rng_bucket_fill(made, ready - 1, 0)
    assert made.level_bytes < wanted
    lib.rng_bucket_fill(made, ready, 0)
    assert made.level_bytes >= wanted


def test_a_clock_that_stands_still_brings_nothing() -> None:
    made = bucket(100, 1000)
    lib.rng_bucket_take(made, 100)
    for _ in range(3):
        lib.rng_bucket_fill(made, START_NS, 0)
        lib.rng_bucket_fill(made, START_NS - 5, 0)
    assert made.level_bytes == 0
