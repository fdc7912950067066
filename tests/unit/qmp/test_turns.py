"""What clients cost main: each has its turn, all share what comes back, and who has gone costs least."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.qmp.fake_machine import FakeMachine
from tests.unit.qmp.raw_client import RawClient
from vmm_main.event_loop import EventLoop
from vmm_main.qmp.budget import Budget
from vmm_main.qmp.limits import QmpLimits
from vmm_main.qmp.listener import QmpMonitors
from vmm_main.qmp.server import QmpServer
from vmm_main.qmp.session import QmpSession

if TYPE_CHECKING:
    from tests.unit.qmp.fake_machine import RunningMonitors

_LOOK = b'{"execute": "query-name"}\n'


class _Wire:
    """A transport that takes all output; the test says whether anybody reads it."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self.has_reader = True
        self.output = b""

    def write(self, data: bytes) -> int:
        self.output += data
        return len(data)

    def input_wanted(self) -> None:
        pass

    def close_connection(self) -> None:
        pass

    def answers(self) -> list[Any]:
        """What has come since the last look."""
        output, self.output = self.output, b""
        return [json.loads(line) for line in output.splitlines()]


class _Sessions:
    """A server whose loop the test runs, and sessions that have negotiated."""

    def __init__(self, limits: QmpLimits) -> None:
        self.loop = EventLoop()
        self.machine = FakeMachine(self.loop)
        self.server = QmpServer(self.machine, QmpMonitors(), limits)

    def begin(self) -> tuple[QmpSession, _Wire]:
        wire = _Wire(self.loop)
        session = QmpSession(self.server, wire, "test")
        session.start()
        session.receive(b'{"execute": "qmp_capabilities"}\n')
        self.loop.run_once(0)
        wire.answers()
        return session, wire


@pytest.fixture
def limits() -> QmpLimits:
    """A turn is one command."""
    small = QmpLimits()
    small.turn_s = 0.0
    small.clients = 3
    return small


@pytest.fixture
def sessions(limits: QmpLimits) -> Iterator[_Sessions]:
    made = _Sessions(limits)
    yield made
    for session in tuple(made.server.sessions):
        session.close("the test ends")
    made.loop.close()


def test_each_has_its_turn(sessions: _Sessions) -> None:
    """However many commands one has sent, another's is next."""
    flooding, flood = sessions.begin()
    session, wire = sessions.begin()
    flooding.receive(_LOOK * 100)
    assert len(flood.answers()) == 1
    assert flooding.input_room() == 0
    session.receive(_LOOK)
    assert len(wire.answers()) == 1
    for _ in range(99):
        sessions.loop.run_once(0)
        assert len(flood.answers()) == 1
    sessions.loop.run_once(0)
    assert flood.answers() == []
    assert flooding.input_room() > 0


def test_who_has_gone_is_obeyed_but_not_answered(sessions: _Sessions) -> None:
    session, wire = sessions.begin()
    wire.has_reader = False
    session.receive(_LOOK * 3 + b'{"execute": "stop"}\n' + _LOOK)
    for _ in range(10):
        sessions.loop.run_once(0)
    assert [each for each in wire.answers() if "return" in each] == [{"return": {}}]
    assert sessions.machine.status == "paused"


def test_who_is_closed_while_it_waits_waits_no_more(sessions: _Sessions, limits: QmpLimits) -> None:
    session, _ = sessions.begin()
    session.receive(b" " * (limits.burst + 100) * limits.unit_bytes)
    session.receive(_LOOK)
    assert sessions.server.waiting == 1
    session.close("the test wants it")
    assert sessions.server.waiting == 0


def test_a_command_costs_what_it_takes(limits: QmpLimits) -> None:
    account = Budget(limits)
    account.spend_time(0.0)
    assert account.units == limits.burst - 1
    account.spend_time(5.5 * limits.unit_s)
    assert account.units == pytest.approx(limits.burst - 6.5)


def test_what_comes_back_is_shared(limits: QmpLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("vmm_main.qmp.budget.time.monotonic", lambda: now_s)
    account = Budget(limits)
    account.spend(limits.burst)
    assert account.wait_s(1) == 0
    account.spend(limits.per_second)
    assert account.wait_s(1) == pytest.approx(1.1)
    assert account.wait_s(4) == pytest.approx(4.1)
    now_s = 102.0
    assert account.wait_s(4) == pytest.approx(2.1)
    now_s = 100_000.0
    assert account.wait_s(4) == 0
    assert account.units == limits.burst


def test_clients_that_have_gone_keep_no_places(
    running: RunningMonitors, socket_path: str, limits: QmpLimits
) -> None:
    """Not those of who comes, that is: as many again may have left something that is still to be done."""
    limits.burst, limits.per_second = 1, 0.001
    commands = b'{"execute": "qmp_capabilities"}' + b'{"execute": "stop"}{"execute": "cont"}' * 10
    for _ in range(limits.clients):
        gone = RawClient(socket_path)
        gone.send(commands)
        gone.close()
    for _ in range(limits.clients):
        client = RawClient(socket_path, greet=False)
        assert "QMP" in client.receive()
        client.send(commands)
        client.close()
    last = RawClient(socket_path, greet=False)
    assert "error" in last.receive()
    last.close()
    assert running.on_loop(lambda: len(running.monitors.server().sessions)) == 2 * limits.clients
