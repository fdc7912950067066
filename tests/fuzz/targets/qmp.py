"""QMP: whatever bytes come in, the session answers in whole lines of JSON, and goes on after them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from tests.fuzz.byte_source import ByteSource
from tests.unit.qmp.fake_machine import FakeMachine
from vmm_main.event_loop import EventLoop
from vmm_main.qmp.limits import QmpLimits
from vmm_main.qmp.listener import QmpMonitors
from vmm_main.qmp.server import QmpServer
from vmm_main.qmp.session import QmpSession

_KINDS_OF_ANSWER = {"QMP", "return", "error", "event"}
_ROUNDS = 2000

_COMMANDS = (
    b'{"execute": "qmp_capabilities"}',
    b'{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}, "id": 1}',
    b'{"execute": "query-status", "id": {"a": [1, null, true, 1.5]}}',
    b'{"execute": "query-commands"}{"execute": "query-version"}{"execute": "query-kvm"}',
    b'{"execute": "query-qmp-schema"}',
    b'{"execute": "stop"}\r\n{"execute": "cont"}\n{"execute": "system_reset"}{"execute": "system_powerdown"}',
    b'{"execute": "getfd", "arguments": {"fdname": "a"}}{"execute": "closefd", "arguments": {"fdname": "a"}}',
    b'{"execute": "add-fd", "arguments": {"fdset-id": 1, "opaque": "o"}}{"execute": "query-fdsets"}',
    b'{"execute": "remove-fd", "arguments": {"fdset-id": 1, "fd": 3}}',
    b'{"execute": "query-cpus-fast"}{"execute": "query-name"}{"execute": "query-uuid"}',
    b'{"execute": "query-chardev"}',
    b'{"execute": "query-events"}{"execute": "query-iothreads"}{"execute": "query-blockstats"}',
    b'{"execute": "device_process_restart", "arguments": {"id": "d"}}{"execute": "quit"}',
    b'{"execute": "nope"}[1,2]\n"text"\n12\n{"a": 1}\n',
    b'{"execute": "query-status", "id": "\\ud800"}',
)


class _Wire:
    """A transport that takes as much output at a time as the input says."""

    def __init__(self, loop: EventLoop, takes: bytes) -> None:
        self.loop = loop
        self.has_reader = True
        self.output = b""
        self.is_closed = False
        self._takes = list(takes)

    def write(self, data: bytes) -> int:
        assert not self.is_closed
        take = self._takes.pop() if self._takes else len(data)
        self.output += data[:take]
        return min(take, len(data))

    def input_wanted(self) -> None:
        assert not self.is_closed

    def close_connection(self) -> None:
        assert not self.is_closed
        self.is_closed = True


def _limits() -> QmpLimits:
    limits = QmpLimits()
    limits.message_bytes = 1024
    limits.nesting = 16
    limits.reply_bytes = 4096
    limits.output_bytes = 1 << 20
    limits.burst = 1_000_000
    limits.turn_s = 60.0  # one goes on by the loop, which isn't run here
    limits.descriptors = 2
    return limits


def _feed(session: QmpSession, wire: _Wire, source: ByteSource) -> None:
    """Pieces as the input cuts them, some with a descriptor."""
    rounds = _ROUNDS
    while source and not wire.is_closed:
        length = source.number()
        piece = source.take(1 + length * 4)
        if length & 1:
            session.receive_descriptors([os.dup(0)])
        while piece and not wire.is_closed:
            rounds -= 1
            assert rounds, "a session that takes no input"
            room = session.input_room()
            if room == 0:
                session.output_possible()
                continue
            session.receive(piece[:room])
            piece = piece[room:]


def run(data: bytes) -> None:
    """A client's whole conversation."""
    before = len(os.listdir("/proc/self/fd"))
    loop = EventLoop()
    source = ByteSource(data)
    options = source.number()
    wire = _Wire(loop, source.take(options % 16))
    server = QmpServer(FakeMachine(loop), QmpMonitors(), _limits())
    session = QmpSession(server, wire, "fuzzed", skip_line=bool(options & 16))
    session.start()
    _feed(session, wire, source)
    for _ in range(_ROUNDS):
        if wire.is_closed or not session.has_output:
            break
        session.output_possible()
    loop.run_once(0)
    _check_answers(wire.output)
    if not wire.is_closed:
        _check_recovery(session, wire)
        session.close("the input ends")
    assert server.sessions == []
    server.descriptors.close_all()
    loop.close()
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor stays open"


def _check_answers(output: bytes) -> None:
    assert output.endswith(b"\r\n")
    for line in output.split(b"\r\n")[:-1]:
        answer = json.loads(line)
        assert len(_KINDS_OF_ANSWER & set(answer)) == 1, line
        if "error" in answer:
            assert "Internal error" not in answer["error"]["desc"], answer


def _check_recovery(session: QmpSession, wire: _Wire) -> None:
    """At the third line at the latest the client is understood again."""
    wire.output = b""
    session.receive(b'\n{"execute": "query-kvm", "id": "after"}\n' * 3)
    for _ in range(_ROUNDS):
        if session.closed or not session.has_output:
            break
        session.output_possible()
    assert session.closed or b'"id": "after"' in wire.output, wire.output[-300:]


def dictionary() -> Iterator[bytes]:
    """JSON's signs, members of a request, commands and their arguments."""
    yield from (
        b'{"execute": "',
        b'"arguments": {',
        b'"id": ',
        b'"}',
        b"{",
        b"}",
        b"[",
        b"]",
        b'\\"',
        b"\\u0000",
    )
    yield from (b"\\ud800", b"1e999", b"-0", b"null", b"true", b"\n", b"\r\n", b"\xff", b"\xc3\xbc", b"\0")
    loop = EventLoop()
    vocabulary = QmpServer(FakeMachine(loop), QmpMonitors(), _limits()).vocabulary
    loop.close()
    yield from (name.encode() for name in vocabulary.commands)
    for line in _COMMANDS:
        yield from (word for word in line.split(b'"') if word.strip(b"{}:, []"))


def seeds() -> Iterator[bytes]:
    """Each command, alone and after the negotiation."""
    for command in _COMMANDS:
        yield bytes((0,)) + _pieces(command)
        yield bytes((16,)) + _pieces(b"cut off}\n" + command)
        yield bytes((3, 1, 0, 200)) + _pieces(_COMMANDS[0] + b"\n" + command + b"\n")


def _pieces(data: bytes) -> bytes:
    """In pieces of 125 bytes, a descriptor with each."""
    cut = [data[at : at + 125] for at in range(0, len(data), 125)]
    return b"".join(bytes((31,)) + piece for piece in cut)
