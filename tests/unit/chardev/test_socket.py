"""Socket chardevs with real clients: they come, leave, stop reading, and come again."""

from __future__ import annotations

import os
import random
import resource
import socket
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.unit.chardev.front_end import NotingFrontEnd, attach, run_until, settle
from vmm_main.chardev.unix_socket import SocketChardev
from vmm_main.errors import ConfigurationError
from vmm_main.vm_config import ChardevConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vmm_main.event_loop import EventLoop


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "serial.sock")


@pytest.fixture
def backend(loop: EventLoop, path: str) -> Iterator[SocketChardev]:
    made = SocketChardev(ChardevConfig("c0", "socket", path=path, server=True, nowait=True), loop)
    yield made
    made.close()
    assert not os.path.exists(path)


@pytest.fixture
def front_end(backend: SocketChardev) -> NotingFrontEnd:
    return attach(backend)


def connect(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(path)
    return client


def received_until_end(client: socket.socket) -> bytes:
    data = bytearray()
    while piece := client.recv(65536):
        data += piece
    return bytes(data)


def test_bytes_both_ways(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    assert backend.describe() == f"disconnected:unix:{path},server=on"
    with closing(connect(path)) as client:
        run_until(loop, lambda: backend.connected)
        assert backend.describe() == f"unix:{path},server=on"
        client.sendall(b"to the guest\x00\x01\xff")
        run_until(loop, lambda: front_end.received == b"to the guest\x00\x01\xff")
        front_end.send(b"from the guest")
        assert client.recv(100) == b"from the guest"
    run_until(loop, lambda: not backend.connected)
    assert front_end.events == ["connected", "disconnected"]


def test_output_without_client_is_dropped_and_counted(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    front_end.send(b"x" * 1000)
    assert front_end.pending == b""
    assert backend.dropped_bytes == 1000
    with closing(connect(path)) as client:
        run_until(loop, lambda: backend.connected)
        front_end.send(b"seen")
        assert client.recv(100) == b"seen"
    assert backend.dropped_bytes == 1000


def test_clients_come_and_go(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    for i in range(20):
        with closing(connect(path)) as client:
            run_until(loop, lambda: backend.connected)
            client.sendall(b"%d," % i)
            run_until(loop, partial(front_end.received.endswith, b"%d," % i))
        run_until(loop, lambda: not backend.connected)
    assert front_end.events == ["connected", "disconnected"] * 20


def test_second_client_is_refused_and_the_first_undisturbed(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    with closing(connect(path)) as first:
        run_until(loop, lambda: backend.connected)
        with closing(connect(path)) as second:
            second.setblocking(False)
            settle(loop)
            assert second.recv(10) == b"", "hung up on"
        front_end.send(b"still here")
        assert first.recv(100) == b"still here"
    run_until(loop, lambda: not backend.connected)
    assert front_end.events == ["connected", "disconnected"]


def test_slow_reader_gets_everything_in_order(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    data = random.Random(1).randbytes(3_000_000)
    with closing(connect(path)) as client:
        run_until(loop, lambda: backend.connected)
        front_end.send(data)
        assert front_end.pending, "the socket is full: the rest stays with its owner"
        settle(loop)
        arrived = bytearray()
        client.setblocking(False)
        while len(arrived) < len(data):
            loop.run_once(0)
            try:
                arrived += client.recv(30_000)
            except BlockingIOError:
                continue
        assert bytes(arrived) == data
        assert backend.dropped_bytes == 0


def test_reader_that_leaves_in_the_middle_frees_the_guest(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    client = connect(path)
    run_until(loop, lambda: backend.connected)
    front_end.send(b"x" * 1_000_000)
    left = len(front_end.pending)
    assert left > 0
    client.close()
    run_until(loop, lambda: front_end.pending == b"")
    assert backend.dropped_bytes == left
    settle(loop)
    with closing(connect(path)) as again:
        run_until(loop, lambda: backend.connected)
        front_end.send(b"hello again")
        assert again.recv(100) == b"hello again"


def test_reads_only_what_the_guest_has_room_for(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    front_end.room = 0
    data = random.Random(2).randbytes(150_000)
    with closing(connect(path)) as client:
        client.sendall(data)
        run_until(loop, lambda: backend.connected)
        settle(loop)
        assert front_end.received == b""
        while len(front_end.received) < len(data):
            before = len(front_end.received)
            front_end.make_room(min(777, len(data) - before))
            run_until(loop, lambda: front_end.room == 0)
        assert bytes(front_end.received) == data
        assert front_end.largest_excess <= 0


def test_client_that_leaves_while_the_guest_does_not_read(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    """Its last words wait for the guest, but output stops at once and it counts as gone."""
    front_end.room = 0
    with closing(connect(path)) as client:
        run_until(loop, lambda: backend.connected)
        client.sendall(b"last words")
        settle(loop)
    run_until(loop, lambda: not backend.connected)
    settle(loop)
    front_end.send(b"nobody hears")
    assert backend.dropped_bytes == len(b"nobody hears")
    front_end.make_room(4)
    run_until(loop, lambda: front_end.received == b"last")
    settle(loop)
    front_end.make_room(100)
    run_until(loop, lambda: front_end.received == b"last words")
    run_until(loop, lambda: front_end.events == ["connected", "disconnected"])


def test_leaves_in_the_middle_while_the_guest_does_not_read(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    """Neither side can move, and still the guest's output goes on."""
    front_end.room = 0
    client = connect(path)
    client.sendall(b"unread")
    run_until(loop, lambda: backend.connected)
    front_end.send(b"x" * 1_000_000)
    settle(loop)
    left = len(front_end.pending)
    assert left > 0
    client.close()
    run_until(loop, lambda: front_end.pending == b"")
    assert backend.dropped_bytes == left
    settle(loop)


def test_next_client_is_welcome_although_the_guest_does_not_read(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    front_end.room = 0
    with closing(connect(path)) as first:
        run_until(loop, lambda: backend.connected)
        first.sendall(b"unread")
        settle(loop)
    with closing(connect(path)) as second:
        run_until(loop, lambda: backend.connected and front_end.events.count("connected") == 2)
        front_end.send(b"output")
        assert second.recv(100) == b"output"
        second.sendall(b"second's")
        front_end.make_room(100)
        run_until(loop, lambda: front_end.received == b"second's")


def test_leaving_and_coming_seen_at_one_moment(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    for round_number in range(1, 11):
        client = connect(path)
        run_until(loop, partial(front_end.has_connected, round_number))
        client.sendall(b"x" * 40_000)
        client.close()  # and before the loop turns, the next one knocks
    client = connect(path)
    run_until(loop, lambda: front_end.events.count("connected") == 11)
    assert len(front_end.received) == 10 * 40_000, "with a guest that reads, nothing is lost"
    client.close()


def test_half_closed_client_is_hung_up_on(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    """As in QEMU: who says that nothing more will come has left."""
    with closing(connect(path)) as client:
        client.sendall(b"bye")
        client.shutdown(socket.SHUT_WR)
        run_until(loop, lambda: front_end.events == ["connected", "disconnected"])
        assert front_end.received == b"bye"
        assert received_until_end(client) == b""


def test_server_without_nowait_waits_for_its_client(loop: EventLoop, path: str) -> None:
    clients: list[socket.socket] = []
    turns = []

    def come() -> None:
        turns.append(os.path.exists(path))
        if len(turns) < 3:
            loop.call_later(0.01, come)
        else:
            clients.append(connect(path))
            clients[0].sendall(b"early")

    loop.call_later(0.01, come)
    backend = SocketChardev(ChardevConfig("c0", "socket", path=path, server=True), loop)
    assert turns == [True] * 3
    assert backend.connected
    front_end = attach(backend)
    run_until(loop, lambda: front_end.received == b"early")
    backend.close()
    clients[0].close()


def test_what_ends_the_wait_leaves_no_socket_file(loop: EventLoop, path: str) -> None:
    def end() -> None:
        raise KeyboardInterrupt

    loop.call_later(0.01, end)
    with pytest.raises(KeyboardInterrupt):
        SocketChardev(ChardevConfig("c0", "socket", path=path, server=True), loop)
    assert not os.path.exists(path)


def test_listening_socket_handed_over(loop: EventLoop, path: str) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    backend = SocketChardev(
        ChardevConfig("c0", "socket", fd=listening.detach(), server=True, nowait=True), loop
    )
    front_end = attach(backend)
    with closing(connect(path)) as client:
        run_until(loop, lambda: backend.connected)
        front_end.send(b"by descriptor")
        assert client.recv(100) == b"by descriptor"
        backend.close()
    assert os.path.exists(path), "whoever made the file removes it"


def test_client_mode(loop: EventLoop, path: str) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(path)
        server.listen()
        backend = SocketChardev(ChardevConfig("c0", "socket", path=path), loop)
        front_end = attach(backend)
        assert backend.connected
        assert backend.describe() == f"unix:{path}"
        peer, _ = server.accept()
        with closing(peer):
            front_end.send(b"hello")
            assert peer.recv(100) == b"hello"
            peer.sendall(b"world")
            run_until(loop, lambda: front_end.received == b"world")
        run_until(loop, lambda: not backend.connected)
        front_end.send(b"gone")
        assert backend.dropped_bytes == 4
        backend.close()
    assert os.path.exists(path), "the server's file is the server's"


@pytest.mark.parametrize("name", ["absent", "x" * 200, "stale", "plain"])
def test_client_mode_without_server(loop: EventLoop, tmp_path: Path, name: str) -> None:
    if name == "stale":
        with closing(socket.socket(socket.AF_UNIX)) as dead:
            dead.bind(str(tmp_path / name))
    elif name == "plain":
        (tmp_path / name).touch()
    with pytest.raises(ConfigurationError, match=r"can't connect: [A-Z].*server,nowait"):
        SocketChardev(ChardevConfig("c0", "socket", path=str(tmp_path / name)), loop)


def test_client_mode_never_waits_for_a_full_backlog(loop: EventLoop, path: str) -> None:
    waiting = []
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(path)
        server.listen(0)
        waiting.append(connect(path))
        with pytest.raises(ConfigurationError, match="can't connect"):
            SocketChardev(ChardevConfig("c0", "socket", path=path), loop)
    waiting[0].close()


def test_shortage_of_descriptors_refuses_the_client_only(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    client = connect(path)
    client.setblocking(False)
    probe = os.dup(0)
    os.close(probe)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (probe + 1, hard)
    )  # room for the accepted one, not for its copy
    try:
        settle(loop)
        assert client.recv(10) == b"", "hung up on"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        client.close()
    with closing(connect(path)) as again:
        run_until(loop, lambda: backend.connected)
        front_end.send(b"x")
        assert again.recv(1) == b"x"


def test_last_output_waits_for_a_slow_reader_until_the_deadline(
    loop: EventLoop, backend: SocketChardev, front_end: NotingFrontEnd, path: str
) -> None:
    with closing(connect(path)) as client:
        run_until(loop, lambda: backend.connected)
        taken = backend.flush_at_exit(b"x" * 2_000_000, 0)
        assert 0 < taken < 2_000_000
        client.setblocking(False)
        assert len(client.recv(1 << 22)) > 0
