"""How many restarts a device gets, and how soon."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm_main.command_line.device_options import TABLE
from vmm_main.device_supervisor.restart_policy import (
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    RESTARTS_AT_ONCE,
    SECONDS_PER_RESTART,
    SHORT_LIFE_S,
    RestartPolicy,
)

LONG_LIFE_S = SHORT_LIFE_S * 2


def test_the_first_restart_is_at_once() -> None:
    assert RestartPolicy(100.0).next_delay_s(100.0, 0.0) == 0.0


def test_long_lives_are_followed_at_once() -> None:
    policy = RestartPolicy(0.0)
    now_s = 0.0
    for _ in range(1000):
        now_s += SECONDS_PER_RESTART
        assert policy.next_delay_s(now_s, SECONDS_PER_RESTART) == 0.0


def test_short_lives_are_waited_for_longer_each_time() -> None:
    policy = RestartPolicy(0.0, 12)
    delays = [policy.next_delay_s(0.0, 0.1) for _ in range(12)]
    expected = [0.0, *(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2**step) for step in range(11))]
    assert delays == expected
    assert delays[-1] == LONGEST_DELAY_S


def test_a_long_life_ends_the_waiting() -> None:
    policy = RestartPolicy(0.0)
    for _ in range(5):
        policy.next_delay_s(0.0, 0.0)
    assert policy.next_delay_s(0.0, SHORT_LIFE_S) == 0.0
    assert policy.next_delay_s(0.0, 0.0) == 0.0
    assert policy.next_delay_s(0.0, 0.0) == FIRST_DELAY_S


def test_they_are_used_up() -> None:
    policy = RestartPolicy(0.0, 3)
    assert [policy.next_delay_s(0.0, LONG_LIFE_S) for _ in range(5)] == [0.0, 0.0, 0.0, None, None]


@pytest.mark.parametrize("life_s", [0.0, SHORT_LIFE_S / 2, LONG_LIFE_S])
def test_what_always_dies_uses_them_up(life_s: float) -> None:
    """With the real numbers: the backoff mustn't wait for the bucket to fill."""
    policy, now_s, restarts = RestartPolicy(0.0), 0.0, 0
    while True:
        now_s += life_s
        delay_s = policy.next_delay_s(now_s, life_s)
        if delay_s is None:
            break
        now_s += delay_s
        restarts += 1
        assert now_s < SECONDS_PER_RESTART, "it dies for ever"
    assert restarts == RESTARTS_AT_ONCE


def test_the_reference_says_the_real_numbers() -> None:
    """In words: the options are read at every start, the policy isn't."""
    (option,) = [option for option in TABLE.options if option.name == "-device"]
    (key,) = [key for key in option.keys.values() if key.name == "on-restart-limit"]
    assert f"after {RESTARTS_AT_ONCE}, and one comes back every {SECONDS_PER_RESTART:g} seconds" in key.help


def test_and_come_back_one_by_one() -> None:
    policy = RestartPolicy(0.0, 2)
    for _ in range(2):
        policy.next_delay_s(0.0, LONG_LIFE_S)
    assert policy.next_delay_s(0.9 * SECONDS_PER_RESTART, LONG_LIFE_S) is None
    assert policy.next_delay_s(1.1 * SECONDS_PER_RESTART, LONG_LIFE_S) == 0.0
    assert policy.next_delay_s(1.1 * SECONDS_PER_RESTART, LONG_LIFE_S) is None


def test_no_more_gather_than_the_limit() -> None:
    policy = RestartPolicy(0.0, 2)
    delays = [policy.next_delay_s(1e6, LONG_LIFE_S) for _ in range(3)]
    assert delays == [0.0, 0.0, None]


@given(
    limit=st.integers(1, 30),
    deaths=st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), max_size=200),
)
def test_never_more_than_the_bucket_holds(limit: int, deaths: list[tuple[float, float]]) -> None:
    policy, now_s, granted = RestartPolicy(0.0, limit), 0.0, 0
    for pause_s, life_s in deaths:
        now_s += pause_s
        delay_s = policy.next_delay_s(now_s, life_s)
        if delay_s is not None:
            assert 0 <= delay_s <= LONGEST_DELAY_S
            granted += 1
        assert granted <= limit + now_s / SECONDS_PER_RESTART + 1e-6
