"""What a process may say unasked: so much of its own, and each mistake that the driver may have made."""

from __future__ import annotations

from vmm_main.device_supervisor.talk_limit import MESSAGES_AT_ONCE, MESSAGES_PER_S, TalkLimit


def exhausted() -> TalkLimit:
    limit = TalkLimit(0.0)
    assert all(limit.admit("LOG", 0.0) for _ in range(MESSAGES_AT_ONCE))
    return limit


def test_so_many_at_once_then_so_many_a_second() -> None:
    limit = exhausted()
    assert not limit.admit("LOG", 0.0)
    assert [limit.admit("LOG", 2.5 / MESSAGES_PER_S) for _ in range(2)] == [True, False]


def test_a_quiet_time_earns_no_more_than_the_first_ones() -> None:
    limit = TalkLimit(0.0)
    admitted = [limit.admit("LOG", 1e6) for _ in range(MESSAGES_AT_ONCE + 1)]
    assert admitted == [True] * MESSAGES_AT_ONCE + [False]


def test_a_drivers_mistakes_are_no_talk() -> None:
    limit = exhausted()
    for _ in range(10 * MESSAGES_AT_ONCE):
        limit.gave_queue(0)
        limit.gave_queue(3)
        assert limit.admit("NEEDS_RESET", 0.0)
        assert limit.admit("NEEDS_RESET", 0.0)
        limit.was_reset()


def test_no_more_mistakes_than_queues() -> None:
    limit = exhausted()
    assert not limit.admit("NEEDS_RESET", 0.0)
    for _ in range(5):  # as at each end of a stop
        limit.gave_queue(0)
    assert limit.admit("NEEDS_RESET", 0.0)
    assert not limit.admit("NEEDS_RESET", 0.0)
    limit.gave_queue(0)
    limit.was_reset()
    assert not limit.admit("NEEDS_RESET", 0.0)
