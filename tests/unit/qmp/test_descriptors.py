"""Descriptors that come by SCM_RIGHTS: named, closed, and never leaked."""

from __future__ import annotations

import array
import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.unit.qmp.raw_client import RawClient

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.qmp.conftest import Connect
    from tests.unit.qmp.fake_machine import RunningMonitors

pytestmark = pytest.mark.timeout(60)


def _send_with(client: RawClient, data: bytes, fds: list[int]) -> None:
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
    client.socket.sendmsg([data], [rights])


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_descriptor_is_kept_under_its_name_and_closed(running: RunningMonitors, client: RawClient) -> None:
    reading, writing = os.pipe()
    _send_with(client, b'{"execute": "getfd", "arguments": {"fdname": "p"}}', [writing])
    assert client.receive() == {"return": {}}
    os.close(writing)
    kept = running.on_loop(lambda: running.monitors.server().descriptors.take("p"))
    assert not os.get_inheritable(kept)
    os.write(kept, b"through")
    assert os.read(reading, 10) == b"through"
    running.on_loop(lambda: running.monitors.server().descriptors.keep("p", kept))
    assert client.execute("closefd", fdname="p") == {"return": {}}
    assert os.read(reading, 10) == b"", "the last writer is gone"
    os.close(reading)
    error = client.execute("closefd", fdname="p")["error"]
    assert error == {"class": "GenericError", "desc": "File descriptor named 'p' not found"}


def test_descriptors_are_taken_in_the_order_they_came(running: RunningMonitors, client: RawClient) -> None:
    pipes = [os.pipe() for _ in range(3)]
    _send_with(client, b'{"execute": "query-name"}', [writing for _, writing in pipes])
    client.receive()
    for name in "abc":
        assert client.execute("getfd", fdname=name) == {"return": {}}
    for name, (reading, writing) in zip("abc", pipes, strict=True):
        os.close(writing)
        assert client.execute("closefd", fdname=name) == {"return": {}}
        assert os.read(reading, 1) == b""
        os.close(reading)


def test_without_a_descriptor_or_with_a_number_for_a_name_it_fails(client: RawClient) -> None:
    assert "SCM_RIGHTS" in client.execute("getfd", fdname="x")["error"]["desc"]
    reading, writing = os.pipe()
    _send_with(client, b'{"execute": "getfd", "arguments": {"fdname": "3"}}', [writing])
    os.close(writing)
    assert "starting with a digit" in client.receive()["error"]["desc"]
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_a_name_that_is_there_is_replaced(client: RawClient) -> None:
    reading, writing = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    for fd in (writing, null):
        _send_with(client, b'{"execute": "getfd", "arguments": {"fdname": "p"}}', [fd])
        assert client.receive() == {"return": {}}
        os.close(fd)
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_descriptors_that_nobody_takes_are_closed(running: RunningMonitors, connect: Connect) -> None:
    connect().close()  # what the first client makes the server open is not counted
    running.wait_for_sessions(0)
    null = os.open("/dev/null", os.O_RDONLY)
    before = _open_descriptors()
    client = connect()
    for _ in range(10):
        _send_with(client, b"\n", [null] * 100)
    client.negotiate()
    held = _open_descriptors() - before
    client.close()
    running.wait_for_sessions(0)
    assert _open_descriptors() == before
    # The client's and the server's socket, and no more than the limit of what came.
    assert held == 2 + 253
    os.close(null)


def test_a_client_of_the_tests_that_reaches_nobody_holds_nothing(tmp_path: Path) -> None:
    """Its socket would be found in the middle of another test, and be that one's failure."""
    before = _open_descriptors()
    with pytest.raises(FileNotFoundError) as caught:
        RawClient(str(tmp_path / "nobody"))
    assert _open_descriptors() == before, caught
