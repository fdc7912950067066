"""A QMP client that asks for the VM's state all the time, and another one that hears events."""

from __future__ import annotations

import select
import threading
import time
from types import TracebackType
from typing import Any

from tests.unit.qmp.raw_client import RawClient

HANGS_AFTER_S = 30.0
_PAUSE_S = 0.005


class QmpWatch:
    """Asks query-status again and again from a thread of its own, until the end of a `with`.

    Attributes:
        round_trips_s: How long each answer took.
    """

    def __init__(self, path: str, pause_s: float = _PAUSE_S) -> None:
        self._path = path
        self._pause_s = pause_s
        self.round_trips_s: list[float] = []
        self._stops = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> QmpWatch:
        self._client = RawClient(self._path)
        self._client.negotiate()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stops.set()
        self._thread.join()
        self._client.close()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stops.wait(self._pause_s):
                began_s = time.monotonic()
                answer = self._client.execute("query-status")
                while "event" in answer:
                    answer = self._client.receive()
                assert answer["return"]["status"] in ("running", "paused"), answer
                self.round_trips_s.append(time.monotonic() - began_s)
        except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
            self._error = error

    def slowest_since(self, number: int) -> float:
        """The slowest answer since so many; at least one more has come."""
        expires = time.monotonic() + HANGS_AFTER_S
        while len(self.round_trips_s) <= number:
            if self._error is not None:
                raise self._error
            assert time.monotonic() < expires, "QMP doesn't answer"
            select.select([], [], [], 0.001)
        return max(self.round_trips_s[number:])


class QmpEvents:
    """A client that keeps events apart from answers."""

    def __init__(self, path: str) -> None:
        self._client = RawClient(path)
        self._client.negotiate()
        self.events: list[dict[str, Any]] = []

    def answer(self, command: str, /, **arguments: Any) -> Any:
        """The answer to a command, whatever it is."""
        answer = self._client.execute(command, **arguments)
        while "event" in answer:
            self.events.append(answer)
            answer = self._client.receive()
        return answer

    def ask(self, command: str, /, **arguments: Any) -> Any:
        """What a command returns."""
        answer = self.answer(command, **arguments)
        assert "return" in answer, answer
        return answer["return"]

    def wait_a_moment(self) -> None:
        """Waits for a message, but not for long."""
        select.select([self._client.socket], [], [], 0.001)

    def has_heard(self, name: str) -> bool:
        """Whether such an event has come and wasn't waited for."""
        self.ask("query-name")
        return any(event["event"] == name for event in self.events)

    def wait_for(self, name: str, **data: Any) -> dict[str, Any]:
        """The data of the next event of that name with these data; it is taken, with all before it."""
        seen = []
        while True:
            if not self.events:
                self.events.append(self._client.receive())
            event = self.events.pop(0)
            seen.append(event)
            assert event is not None, seen
            found: dict[str, Any] = event.get("data", {})
            if event["event"] == name and data.items() <= found.items():
                return found

    def forget(self) -> None:
        """Takes all events that have come."""
        self.ask("query-name")
        self.events.clear()

    def close(self) -> None:
        """Hangs up."""
        self._client.close()
