"""Whatever bytes come in, however cut: the session answers in whole JSON lines and never raises."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.qmp.fake_machine import FakeMachine
from vmm_main.event_loop import EventLoop
from vmm_main.qmp.limits import QmpLimits
from vmm_main.qmp.listener import QmpMonitors
from vmm_main.qmp.server import QmpServer
from vmm_main.qmp.session import QmpSession

_PIECES = [
    b'{"execute": "qmp_capabilities"}',
    b'{"execute": "query-status", "id": 1}',
    b'{"execute": "stop"}',
    b'{"execute": "cont", "arguments": {}}',
    b'{"execute": "query-qmp-schema"}',
    b'{"execute": "nope", "arguments": {"a": [1, {"b": null}]}}',
    b'{"execute": ',
    b'"arguments": {',
    b'"id": "\\ud800',
    b'\\"',
    b'"',
    b"[[[[[[[[[[",
    b"}}]]",
    b"\n",
    b"\r\n",
    b" ",
    b"\xff\xfe",
    b"\x00",
    b"1e999",
    b"-",
    b"0" * 5000,
    b"x" * 3000,
]
_INPUT = st.lists(st.sampled_from(_PIECES) | st.binary(max_size=20), max_size=30)


class _Wire:
    """A transport that takes as much output at a time as the test says."""

    def __init__(self, loop: EventLoop, takes: list[int]) -> None:
        self.loop = loop
        self.has_reader = True
        self.output = b""
        self.closed = False
        self.takes = takes

    def write(self, data: bytes) -> int:
        assert not self.closed
        take = self.takes.pop() if self.takes else len(data)
        self.output += data[:take]
        return min(take, len(data))

    def input_wanted(self) -> None:
        assert not self.closed

    def close_connection(self) -> None:
        assert not self.closed
        self.closed = True


@settings(deadline=None, max_examples=300)
@given(_INPUT, st.lists(st.integers(0, 200), max_size=30))
def test_any_bytes_are_answered_in_json_lines(pieces: list[bytes], takes: list[int]) -> None:
    limits = QmpLimits()
    limits.message_bytes = 4096
    limits.output_bytes = 1 << 20
    limits.burst = 1_000_000
    limits.turn_s = 60.0  # one goes on by the loop, which isn't run here
    loop = EventLoop()
    machine = FakeMachine(loop)
    server = QmpServer(machine, QmpMonitors(), limits)
    wire = _Wire(loop, takes)
    session = QmpSession(server, wire, "test")
    session.start()
    for piece in pieces:
        data = piece
        while data and not wire.closed:
            room = session.input_room()
            if room == 0:
                session.output_possible()
                continue
            session.receive(data[:room])
            data = data[room:]
    for _ in range(10_000):
        if wire.closed or not session.has_output:
            break
        session.output_possible()
    loop.run_once(0)
    assert wire.output.endswith(b"\r\n")
    for line in wire.output.split(b"\r\n")[:-1]:
        message = json.loads(line)
        assert len({"QMP", "return", "error", "event"} & set(message)) == 1
        if "error" in message:
            assert "Internal error" not in message["error"]["desc"]
    if not wire.closed:
        # Whatever came, at the third line at the latest the client is understood again.
        wire.output = b""
        wire.takes.clear()
        session.receive(b'\n{"execute": "query-kvm", "id": "a"}\n' * 3)
        assert session.closed or b'"id": "a"' in wire.output
        session.close("the test ends")
    assert server.sessions == []
    loop.close()
