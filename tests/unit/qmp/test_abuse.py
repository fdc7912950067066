"""Clients that do what no client should: they get an error or a closed connection, and the loop runs on."""

from __future__ import annotations

import json
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.unit.qmp.raw_client import RawClient
from vmm_main.qmp.limits import QmpLimits

if TYPE_CHECKING:
    from tests.unit.qmp.conftest import Connect
    from tests.unit.qmp.fake_machine import RunningMonitors

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def limits() -> QmpLimits:
    small = QmpLimits()
    small.clients = 3
    return small


def _assert_serves(running: RunningMonitors, path: str) -> None:
    """A new client is served, and the loop isn't held up."""
    assert running.on_loop(lambda: "alive") == "alive"
    with closing(RawClient(path)) as client:
        client.negotiate()
        assert client.execute("query-status")["return"]["running"] is True


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"hello", "JSON parse error, Expecting value at character 0"),
        (b"\x00\xff\xfe", "JSON parse error, invalid UTF-8 at byte 1"),
        (b'{"execute": "stop\xc3"}', "JSON parse error, invalid UTF-8 at byte 17"),
        (b"123", "QMP input must be a JSON object"),
        (b'"stop"', "QMP input must be a JSON object"),
        (b"[1]", "QMP input must be a JSON object"),
        (b"}}", "JSON parse error, Expecting value at character 0"),
        (b'{"execute": "query-st', "JSON parse error, a string has no end on its line"),
        (b'{"execute": ]', "JSON parse error, stray ']'"),
        (b"{'execute': 'stop'}", "JSON parse error, Expecting property name enclosed in double quotes"),
        (b'{"execute" "stop"}', "JSON parse error, Expecting ':' delimiter at character 11"),
        (b'{"execute": "stop", "execute": "cont"}', "JSON parse error, duplicate key"),
        (b'{"execute": "query-status", "id": NaN}', "JSON parse error, stray 'NaN'"),
        (b'{"execute": "query-status", "id": 1e999}', "JSON parse error, number out of range: 1e999"),
        (
            b'{"execute": "query-status", "id": ' + b"9" * 5000 + b"}",
            "JSON parse error, a number of 5000 digits; allowed are 1000",
        ),
        (b"[" * 65, "JSON parse error, more than 64 levels of nesting"),
        (b"{}", "QMP input lacks member 'execute'"),
        (b'{"execute": 1}', "QMP input member 'execute' must be a string"),
        (b'{"execute": "stop", "arguments": 1}', "QMP input member 'arguments' must be an object"),
        (b'{"execute": "stop", "foo": 1}', "QMP input member 'foo' is unexpected"),
        (b'{"exec-oob": "stop"}', "QMP input member 'exec-oob' is unexpected"),
        (b'{"execute": "stop", "arguments": {"x": 1}}', "Parameter 'x' is unexpected"),
    ],
)
def test_bad_line_is_a_generic_error_and_the_next_line_is_served(
    client: RawClient, line: bytes, error: str
) -> None:
    client.send(line + b'\n{"execute": "query-name", "id": "after"}\n')
    answer = client.receive()
    assert answer["error"]["class"] == "GenericError"
    assert answer["error"]["desc"].startswith(error)
    assert client.receive() == {"return": {"name": "fake"}, "id": "after"}


def test_half_a_line_is_waited_for_and_forgotten_with_its_client(
    running: RunningMonitors, client: RawClient, socket_path: str
) -> None:
    client.send(b'{"execute": "query-na')
    _assert_serves(running, socket_path)
    client.send(b'me"}')
    assert client.receive() == {"return": {"name": "fake"}}
    client.send(b'{"execute": "query-na')
    client.close()
    _assert_serves(running, socket_path)
    running.wait_for_sessions(0)


def test_command_before_an_unfinished_one_does_not_swallow_the_next_line(client: RawClient) -> None:
    client.send(b'{"execute": "query-name"\n{"execute": "query-kvm", "id": 1}\n')
    assert client.receive()["error"]["desc"] == "JSON parse error, a separator is missing"
    assert client.receive() == {"return": {"enabled": True, "present": True}, "id": 1}


@pytest.mark.parametrize("unit", [b"x", b'{"execute": "', b"[", b" " * 3 + b"\x00", b'{"a":'])
def test_a_hundred_megabytes_end_the_session(
    running: RunningMonitors, client: RawClient, socket_path: str, unit: bytes
) -> None:
    chunk = (unit * (1 << 20))[: 1 << 20]
    assert client.send_until_hung_up(chunk, 100) < 100
    answers = []
    while (answer := client.receive()) is not None:
        answers.append(answer["error"]["desc"])
    assert "a message or line of more than 262144 bytes" in answers[-1]
    _assert_serves(running, socket_path)


def test_a_message_of_the_allowed_length_is_served(client: RawClient) -> None:
    padding = b" " * ((256 << 10) - 40)
    client.send(b'{"execute": ' + padding + b' "query-name"}\n')
    assert client.receive() == {"return": {"name": "fake"}}


def test_deep_nesting_in_many_lines_is_refused_each_time(client: RawClient) -> None:
    client.send((b"[" * 100 + b"\n") * 20)
    for _ in range(20):
        assert "levels of nesting" in client.receive()["error"]["desc"]
    assert client.execute("query-name") == {"return": {"name": "fake"}}


def test_client_that_never_reads_its_answers_is_closed(
    running: RunningMonitors, client: RawClient, socket_path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    running.on_loop(lambda: setattr(running.monitors.server().limits, "stall_s", 0.5))
    request = b'{"execute": "query-qmp-schema"}\n'
    assert client.send_until_hung_up(request * 100, 10_000_000) < 10_000_000
    held = running.on_loop(lambda: len(running.monitors.server().sessions))
    assert held == 0
    assert "took no byte" in capfd.readouterr().err
    _assert_serves(running, socket_path)


def test_client_that_never_reads_events_is_closed(
    running: RunningMonitors, client: RawClient, socket_path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    running.on_loop(lambda: setattr(running.monitors.server().limits, "stall_s", 1000.0))
    reset = {"guest": True, "reason": "guest-reset"}

    def events() -> int:
        for _ in range(1000):
            running.machine.emit("RESET", reset)
        return sum(len(session._output) for session in running.monitors.server().sessions)

    queued = 0
    while (now := running.on_loop(events)) > 0 or queued == 0:
        queued = max(queued, now)
        assert now <= 4 << 20
    assert "bytes of output unread" in capfd.readouterr().err
    _assert_serves(running, socket_path)


def test_flood_of_commands_is_slowed_down_but_answered(
    running: RunningMonitors, client: RawClient, socket_path: str
) -> None:
    commands = 1000
    began_s = time.monotonic()
    client.send(b"".join(b'{"execute": "query-name", "id": %d}\r\n' % index for index in range(commands)))
    _assert_serves(running, socket_path)
    for index in range(commands):
        assert client.receive() == {"return": {"name": "fake"}, "id": index}
    # 200 at once, then 1000 a second.
    assert time.monotonic() - began_s >= (commands - 200) / 1000


def test_clients_beyond_the_limit_are_told_so(
    running: RunningMonitors, socket_path: str, connect: Connect, capfd: pytest.CaptureFixture[str]
) -> None:
    clients = [connect() for _ in range(3)]
    for _ in range(5):
        fourth = connect(greet=False)
        desc = "3 clients are on this socket, which is the limit; one must leave first"
        assert fourth.receive() == {"error": {"class": "GenericError", "desc": desc}}
        assert fourth.receive() is None
    assert capfd.readouterr().err.count("others are refused until one leaves") == 1
    clients[0].negotiate()
    assert clients[0].execute("query-name") == {"return": {"name": "fake"}}
    clients[1].close()
    running.wait_for_sessions(2)
    _assert_serves(running, socket_path)


def test_a_client_that_only_sends_gets_its_answers_after_shutting_its_side(
    running: RunningMonitors, connect: Connect
) -> None:
    client = connect()
    client.send(b'{"execute": "qmp_capabilities"}{"execute": "query-name"}')
    client.socket.shutdown(socket.SHUT_WR)
    assert client.receive() == {"return": {}}
    assert client.receive() == {"return": {"name": "fake"}}
    assert client.receive() is None


def test_a_client_that_shut_its_side_gets_answers_that_had_to_wait(
    running: RunningMonitors, connect: Connect
) -> None:
    client = connect()
    client.negotiate()
    # Some for the budget to hold back, some for the reply limit.
    client.send(b'{"execute": "query-name"}' * 300 + b'{"execute": "query-qmp-schema"}' * 50)
    client.socket.shutdown(socket.SHUT_WR)
    for _ in range(350):
        assert "return" in client.receive()
    assert client.receive() is None


@pytest.mark.parametrize("shut", [False, True])
def test_output_that_the_kernel_had_no_room_for_comes_later(
    running: RunningMonitors, client: RawClient, shut: bool
) -> None:
    session = running.on_loop(lambda: running.monitors.server().sessions[0])
    sent = 0

    def send_until_full() -> None:
        nonlocal sent
        while not session.has_output:
            running.machine.emit("RESET", {"guest": True, "reason": f"{sent}"})
            sent += 1

    running.on_loop(send_until_full)
    if shut:
        client.socket.shutdown(socket.SHUT_WR)
        while not running.on_loop(lambda: session._input_ended):
            pass
    for index in range(sent):
        assert client.receive()["data"]["reason"] == str(index)
    if shut:
        assert client.receive() is None


def test_last_words_wait_for_a_client_that_still_reads(
    running: RunningMonitors, client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmm_main.qmp.listener._LAST_WORDS_S", 60.0)  # it may get little of the CPU

    def fill() -> int:
        for index in range(5000):
            running.machine.emit("RESET", {"guest": True, "reason": f"{index}"})
        return sum(len(session._output) for session in running.monitors.server().sessions)

    assert running.on_loop(fill) > 1000, "more than the kernel holds"
    running.quit_soon()
    for index in range(5000):
        assert client.receive()["data"]["reason"] == str(index)
    assert client.receive() is None


def test_what_a_client_sent_before_it_left_is_done(running: RunningMonitors, connect: Connect) -> None:
    client = connect()
    client.send(b'{"execute": "qmp_capabilities"}{"execute": "stop"}{"execute": "quit"}')
    client.close()
    assert running.machine.quit_asked.wait(20)
    assert running.machine.status == "paused"


def test_a_client_that_leaves_at_once_costs_nothing(running: RunningMonitors, socket_path: str) -> None:
    for _ in range(100):
        RawClient(socket_path, greet=False).close()
    _assert_serves(running, socket_path)


def test_lines_end_in_crlf_and_are_ascii(client: RawClient) -> None:
    client.send('{"execute": "query-name", "id": "é\U0001f600\\ud800"}\n'.encode())
    line = client.receive_line()
    assert line is not None
    assert line.endswith(b"}\r\n")
    assert line.isascii()
    assert json.loads(line)["id"] == "é\U0001f600\ud800"


def test_any_value_is_echoed_as_id_also_with_errors(client: RawClient) -> None:
    values: list[object] = [0, -1.5, "x", None, True, [1, {"a": []}], {}]
    for value in values:
        client.send(json.dumps({"execute": "query-kvm", "id": value}).encode())
        assert client.receive()["id"] == value
        client.send(json.dumps({"execute": "nope", "id": value}).encode())
        assert client.receive()["id"] == value
    client.send(b'{"id": 7}')
    assert client.receive()["id"] == 7


def test_nothing_works_and_no_event_comes_before_negotiation(
    running: RunningMonitors, connect: Connect
) -> None:
    client = connect()
    expected = "Expecting capabilities negotiation with 'qmp_capabilities'"
    for name in ("query-status", "quit", "nope"):
        assert client.execute(name)["error"] == {"class": "CommandNotFound", "desc": expected}
    running.on_loop(lambda: running.machine.emit("STOP", {}))
    answer = client.execute("qmp_capabilities", enable=["oob"])
    assert answer["error"]["class"] == "GenericError"
    answer = client.execute("qmp_capabilities", enable=["magic"])
    assert answer["error"]["desc"] == "Parameter 'enable[0]' does not accept value 'magic'"
    client.negotiate()
    again = client.execute("qmp_capabilities")
    assert again["error"]["class"] == "CommandNotFound"


def test_a_fault_in_a_command_is_told_and_logged(
    running: RunningMonitors, client: RawClient, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken() -> list[int]:
        raise RuntimeError("planted")

    running.machine.vcpu_thread_ids = broken  # type: ignore[method-assign]
    error = client.execute("query-cpus-fast")["error"]
    assert error == {"class": "GenericError", "desc": "Internal error: RuntimeError: planted"}
    assert "planted" in capfd.readouterr().err
    assert client.execute("query-name") == {"return": {"name": "fake"}}


def test_an_event_in_no_table_is_logged_and_not_sent(
    running: RunningMonitors, client: RawClient, capfd: pytest.CaptureFixture[str]
) -> None:
    running.on_loop(lambda: running.machine.emit("MADE_UP", {}))
    assert client.execute("query-name") == {"return": {"name": "fake"}}
    assert "MADE_UP" in capfd.readouterr().err
