"""A monitor on a chardev that can't be hung up, such as a terminal: sessions follow one another on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.qmp.fake_machine import FakeMachine
from vmm_main.chardev.backend import ChardevBackend, FrontEnd
from vmm_main.event_loop import EventLoop
from vmm_main.qmp.limits import QmpLimits
from vmm_main.qmp.listener import QmpMonitors
from vmm_main.vm_config import ChardevConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(120)


class FakeChardev(ChardevBackend):
    """Takes output as long as it has room, gives input as far as it is wanted."""

    __slots__ = ("input", "is_connected", "output", "room")

    def __init__(self) -> None:
        super().__init__(ChardevConfig("mon0", "stdio"))
        self.output = b""
        self.input = b""
        self.room = 1 << 30
        self.is_connected = True

    def attach(self, front_end: FrontEnd) -> None:
        self.front_end = front_end

    def write(self, data: bytes) -> int:
        taken = data[: self.room]
        self.room -= len(taken)
        self.output += taken
        return len(taken)

    def input_wanted(self) -> None:
        self.deliver()

    def deliver(self) -> None:
        """Gives the front end what it has room for, as a back end does when the host's side is readable."""
        assert self.front_end is not None
        while self.input and (room := self.front_end.input_room()) > 0:
            data, self.input = self.input[:room], self.input[room:]
            self.front_end.receive(data)

    @property
    def connected(self) -> bool:
        return self.is_connected

    def describe(self) -> str:
        return "fake"

    def flush_at_exit(self, data: bytes, deadline_s: float) -> int:
        self.output += data
        return len(data)

    def close(self) -> None:
        self.front_end = None


class _Terminal:
    """A monitor on a fake chardev, and the loop run by hand."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.machine = FakeMachine(self.loop)
        self.limits = QmpLimits()
        # The loop is run by hand, and not long enough to wait for a budget or for another turn.
        self.limits.burst, self.limits.turn_s = 1_000_000, 60.0
        self.chardev = FakeChardev()
        self.machine.chardevs["mon0"] = self.chardev
        self.monitors = QmpMonitors(self.limits)
        self.monitors.speak_on(self.chardev)

    def start(self) -> None:
        self.monitors.start(self.machine)
        self.turn()

    def turn(self) -> None:
        for _ in range(3):
            self.loop.run_once(0)

    def type(self, data: bytes) -> None:
        self.chardev.input += data
        self.chardev.deliver()
        self.turn()

    def read(self) -> list[Any]:
        output, self.chardev.output = self.chardev.output, b""
        assert not output or output.endswith(b"\r\n")
        return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def terminal() -> Iterator[_Terminal]:
    made = _Terminal()
    yield made
    made.monitors.close()
    made.loop.close()


def test_greeting_comes_when_the_loop_runs_and_not_before(terminal: _Terminal) -> None:
    terminal.monitors.start(terminal.machine)
    assert terminal.chardev.output == b""
    terminal.turn()
    assert "QMP" in terminal.read()[0]


def test_dialogue(terminal: _Terminal) -> None:
    terminal.start()
    terminal.type(b'{"execute": "qmp_capabilities"}\n{"execute": "query-chardev"}\n')
    expected = [{"label": "mon0", "filename": "fake", "frontend-open": True}]
    assert terminal.read()[1:] == [{"return": {}}, {"return": expected}]


def test_each_client_gets_a_session_of_its_own(terminal: _Terminal) -> None:
    terminal.chardev.is_connected = False
    terminal.start()
    assert terminal.read() == []
    front_end = terminal.chardev.front_end
    assert front_end is not None
    for _ in range(2):
        terminal.chardev.is_connected = True
        front_end.client_connected()
        terminal.turn()
        assert "QMP" in terminal.read()[0]
        terminal.type(b'{"execute": "qmp_capabilities"}{"execute": "que')
        assert terminal.read() == [{"return": {}}]
        terminal.chardev.is_connected = False
        front_end.client_disconnected()


def test_a_line_without_end_gives_an_error_and_a_new_session_after_it(terminal: _Terminal) -> None:
    terminal.start()
    terminal.read()
    terminal.type(b"x" * 300_000)
    error, greeting = terminal.read()
    assert "more than 262144 bytes" in error["error"]["desc"]
    assert "QMP" in greeting
    terminal.type(b'x\n{"execute": "qmp_capabilities"}\n')
    assert terminal.read() == [{"return": {}}]


def test_a_reader_that_stops_holds_back_its_own_commands(terminal: _Terminal) -> None:
    terminal.start()
    terminal.type(b'{"execute": "qmp_capabilities"}')
    terminal.read()
    terminal.chardev.room = 0
    terminal.type(b'{"execute": "query-qmp-schema"}\n' * 150)
    assert len(terminal.chardev.input) > 0 or len(terminal.monitors.server().sessions[0]._output) < 200_000
    terminal.chardev.room = 1 << 30
    front_end = terminal.chardev.front_end
    assert front_end is not None
    front_end.output_possible()
    terminal.turn()
    assert len(terminal.read()) == 150
    assert terminal.chardev.input == b""


def test_last_words_reach_the_reader_at_exit(terminal: _Terminal) -> None:
    terminal.start()
    terminal.type(b'{"execute": "qmp_capabilities"}')
    terminal.read()
    terminal.chardev.room = 0
    terminal.type(b'{"execute": "quit", "id": 1}')
    assert terminal.machine.quit_asked.is_set()
    terminal.monitors.close()
    answer, event = terminal.read()
    assert answer == {"return": {}, "id": 1}
    assert event["event"] == "SHUTDOWN"
