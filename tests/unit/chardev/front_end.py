"""A front end that notes what a back end tells it, and the loop run by hand until something is so."""

from __future__ import annotations

import time
from collections.abc import Callable

from vmm_main.chardev.backend import ChardevBackend, FrontEnd
from vmm_main.event_loop import EventLoop

DEADLINE_S = 30.0


class NotingFrontEnd(FrontEnd):
    """Has room for as much input as the test says, and holds output that the back end hasn't taken yet."""

    def __init__(self, backend: ChardevBackend) -> None:
        self.backend = backend
        self.room = 1 << 30
        self.received = bytearray()
        self.largest_excess = 0
        self.pending = b""
        self.events: list[str] = []
        self.calls_of_output_possible = 0

    def input_room(self) -> int:
        return self.room

    def receive(self, data: bytes) -> None:
        self.largest_excess = max(self.largest_excess, len(data) - self.room)
        self.room -= len(data)
        self.received += data

    def receive_break(self) -> None:
        self.events.append("break")

    def output_possible(self) -> None:
        self.calls_of_output_possible += 1
        self.send(b"")

    def client_connected(self) -> None:
        self.events.append("connected")

    def client_disconnected(self) -> None:
        self.events.append("disconnected")

    def has_connected(self, times: int) -> bool:
        return self.events.count("connected") == times

    def send(self, data: bytes) -> None:
        """Output from the guest: given to the back end as far as it takes it."""
        self.pending += data
        while self.pending and (taken := self.backend.write(self.pending[:16384])):
            self.pending = self.pending[taken:]

    def make_room(self, length: int) -> None:
        self.room += length
        self.backend.input_wanted()


def attach(backend: ChardevBackend) -> NotingFrontEnd:
    front_end = NotingFrontEnd(backend)
    backend.attach(front_end)
    return front_end


def run_until(loop: EventLoop, condition: Callable[[], object]) -> None:
    """Runs the loop until condition holds."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never came to that"
        loop.run_once(0.05)


def settle(loop: EventLoop) -> None:
    """Runs the loop until no descriptor is ready; fails if that never comes (a busy loop)."""
    for _ in range(2000):
        if not loop._epoll.poll(0):
            return
        loop.run_once(0)
    raise AssertionError("the loop turns without end")
