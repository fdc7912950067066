"""The event loop."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from vmm_main.event_loop import HANG_UP, READABLE, WRITABLE, EventLoop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    made = EventLoop()
    yield made
    made.close()


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    ends = list(os.pipe())
    yield ends
    for fd in ends:
        os.close(fd)


def test_readiness_is_level_triggered(loop: EventLoop, pipe: list[int]) -> None:
    seen: list[int] = []
    loop.watch(pipe[0], READABLE, seen.append)
    loop.run_once(0)
    assert seen == []
    os.write(pipe[1], b"x")
    loop.run_once(0)
    loop.run_once(0)
    assert seen == [READABLE, READABLE]
    loop.unwatch(pipe[0])
    loop.run_once(0)
    assert len(seen) == 2


def test_hang_up_is_told_even_if_nothing_is_asked_for(loop: EventLoop) -> None:
    reading, writing = os.pipe()
    seen: list[int] = []
    loop.watch(reading, 0, seen.append)
    os.write(writing, b"x")
    loop.run_once(0)
    assert seen == []
    loop.rewatch(reading, READABLE)
    loop.run_once(0)
    assert seen == [READABLE]
    loop.rewatch(reading, 0)
    os.close(writing)
    loop.run_once(0)
    assert seen[1] & HANG_UP
    loop.unwatch(reading)
    os.close(reading)


def test_descriptor_that_another_callback_has_closed(loop: EventLoop) -> None:
    """Both are ready in one round; the first callback closes the other, whose number becomes another file."""
    pairs = [os.pipe() for _ in range(2)]
    seen: list[str] = []

    def whichever_is_first(mine: int, other: int, _events: int) -> None:
        seen.append("first")
        for fd in (mine, other):
            loop.unwatch(fd)
        for pair in pairs:
            os.close(pair[0])
        for _ in range(2):
            new, _writing = os.pipe()
            opened.extend((new, _writing))
        for fd in opened:
            if fd in (pairs[0][0], pairs[1][0]):
                loop.watch(fd, READABLE | WRITABLE, lambda _events: seen.append("stale"))
                watched.append(fd)

    opened: list[int] = []
    watched: list[int] = []
    for (mine, writing), (other, _) in (pairs, pairs[::-1]):
        os.write(writing, b"x")
        loop.watch(mine, READABLE, partial(whichever_is_first, mine, other))
    loop.run_once(0)
    assert watched, "a number was given out again"
    assert seen == ["first"]
    for fd in watched:
        loop.unwatch(fd)
    for fd in [*opened, pairs[0][1], pairs[1][1]]:
        os.close(fd)


def test_timers_come_in_order_and_can_be_taken_back(loop: EventLoop) -> None:
    seen: list[str] = []
    now_s = time.monotonic()
    loop.call_at(now_s - 1, lambda: seen.append("second"))
    loop.call_at(now_s - 2, lambda: seen.append("first"))
    cancelled = loop.call_at(now_s - 1.5, lambda: seen.append("cancelled"))
    loop.call_later(3600, lambda: seen.append("far away"))
    cancelled.cancel()
    cancelled.cancel()
    loop.run_once()
    assert seen == ["first", "second"]


def test_timer_cancelled_by_one_that_is_due_with_it(loop: EventLoop) -> None:
    seen: list[str] = []
    now_s = time.monotonic()
    second = loop.call_at(now_s - 1, lambda: seen.append("second"))
    loop.call_at(now_s - 2, second.cancel)
    loop.run_once(0)
    assert seen == []


def test_waits_for_a_timer_without_turning(loop: EventLoop) -> None:
    seen: list[float] = []
    began_s = time.monotonic()
    loop.call_later(0.05, lambda: seen.append(time.monotonic()))
    turns = 0
    while not seen:
        loop.run_once()
        turns += 1
    assert seen[0] - began_s >= 0.05
    assert turns <= 3


def test_timer_that_renews_itself_lets_others_in(loop: EventLoop, pipe: list[int]) -> None:
    seen: list[str] = []

    def again() -> None:
        seen.append("timer")
        loop.call_later(0, again)

    def readable(_events: int) -> None:
        seen.append("readable")
        loop.stop()

    again()
    os.write(pipe[1], b"x")
    loop.watch(pipe[0], READABLE, readable)
    loop.run()
    assert "readable" in seen
    loop.unwatch(pipe[0])


def test_calls_from_many_threads_all_come_in_each_ones_order(loop: EventLoop) -> None:
    seen: list[tuple[int, int]] = []
    threads = 8
    calls = 500

    def caller(number: int) -> None:
        for i in range(calls):
            loop.call_soon(lambda i=i: seen.append((number, i)))  # type: ignore[misc]

    workers = [threading.Thread(target=caller, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    deadline_s = time.monotonic() + 60
    while len(seen) < threads * calls:
        loop.run_once(1)
        assert time.monotonic() < deadline_s
    for worker in workers:
        worker.join()
    for number in range(threads):
        assert [i for who, i in seen if who == number] == list(range(calls))


def test_call_wakes_a_loop_that_waits(loop: EventLoop) -> None:
    threading.Timer(0.02, loop.call_soon, (loop.stop,)).start()
    loop.run()


def test_call_made_by_a_call_comes_at_the_next_turn(loop: EventLoop) -> None:
    seen: list[str] = []
    loop.call_soon(lambda: loop.call_soon(lambda: seen.append("inner")))
    loop.run_once(0)
    assert seen == []
    loop.run_once(0)
    assert seen == ["inner"]


def test_stop_before_run_is_not_lost(loop: EventLoop) -> None:
    loop.stop()
    loop.run()
    loop.call_soon(loop.stop)
    loop.run()


def test_a_callbacks_exception_reaches_the_caller(loop: EventLoop) -> None:
    def fail() -> None:
        raise ValueError("a bug")

    loop.call_soon(fail)
    with pytest.raises(ValueError, match="a bug"):
        loop.run()


@pytest.mark.parametrize("call_first", [True, False])
def test_what_a_callback_that_waits_has_dispatched_isnt_dispatched_again(
    loop: EventLoop, pipe: list[int], call_first: bool
) -> None:
    """Both are ready in one round; the callback waits on the loop, which deals with the call meanwhile."""
    seen: list[str] = []

    def wait(_events: int) -> None:
        loop.unwatch(pipe[0])
        while "call" not in seen:
            loop.run_once(1)
        seen.append("waited")

    def call() -> None:
        loop.call_soon(lambda: seen.append("call"))

    if call_first:
        call()
    loop.watch(pipe[0], READABLE, wait)
    os.write(pipe[1], b"x")
    if not call_first:
        call()
    while "waited" not in seen:
        loop.run_once(1)
    loop.run_once(0)
    assert seen == ["call", "waited"]


def test_what_is_left_undone_by_a_wait_comes_in_the_next_round(loop: EventLoop, pipe: list[int]) -> None:
    """A callback that waits ends its round; what was ready with it, and still is, isn't forgotten."""
    seen: list[str] = []
    others = [os.pipe() for _ in range(2)]

    def wait(_events: int) -> None:
        loop.unwatch(pipe[0])
        loop.run_once(0)

    def read(end: int) -> None:
        os.read(end, 1)
        seen.append("read")

    loop.watch(pipe[0], READABLE, wait)
    for reading, _ in others:
        loop.watch(reading, READABLE, lambda _events, reading=reading: read(reading))  # type: ignore[misc]
    for _, writing in [*others, pipe]:
        os.write(writing, b"x")
    for _ in range(3):
        loop.run_once(0)
    assert seen == ["read"] * 2
    for ends in others:
        for fd in ends:
            os.close(fd)


def test_calls_keep_their_order_when_one_waits(loop: EventLoop) -> None:
    seen: list[str] = []

    def wait() -> None:
        loop.call_soon(lambda: seen.append("third"))
        while "third" not in seen:
            loop.run_once(1)
        seen.append("first has waited")

    loop.call_soon(wait)
    loop.call_soon(lambda: seen.append("second"))
    loop.run_once(1)
    loop.run_once(0)
    assert seen == ["second", "third", "first has waited"]
