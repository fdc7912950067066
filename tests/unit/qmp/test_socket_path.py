"""What may be at a socket's path, and what is left there."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from tests.unit.qmp.fake_machine import RunningMonitors
from vmm_main.chardev.unix_listener import UnixListener, adopt_listening_socket, listen_at_path
from vmm_main.errors import ConfigurationError
from vmm_main.vm_config import ChardevConfig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.qmp.conftest import Connect

pytestmark = pytest.mark.timeout(60)


def _refused(path: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        listen_at_path("-qmp unix:" + path, path)
    message = str(caught.value)
    assert message.startswith("-qmp unix:" + path)
    assert "\n" not in message
    return message


def test_the_socket_is_there_while_it_listens(socket_path: str) -> None:
    listener = listen_at_path("-qmp", socket_path)
    assert stat.S_ISSOCK(os.stat(socket_path).st_mode)
    listener.close()
    assert not os.path.exists(socket_path)
    listener.close()


def test_a_live_socket_is_left_alone(running: RunningMonitors, socket_path: str, connect: Connect) -> None:
    before = os.lstat(socket_path)
    assert "another process listens there" in _refused(socket_path)
    assert os.lstat(socket_path).st_ino == before.st_ino
    assert os.listdir(os.path.dirname(socket_path)) == ["qmp.sock"]
    connect()


def test_a_live_socket_with_a_full_backlog_is_left_alone(socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as waiting:
        server.bind(socket_path)
        server.listen(0)
        waiting.connect(socket_path)
        assert "another process listens there" in _refused(socket_path)


def test_a_live_datagram_socket_is_left_alone(socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(socket_path)
        assert "another process listens there" in _refused(socket_path)
        assert os.path.exists(socket_path)


def test_a_stale_socket_is_replaced_and_the_log_says_so(
    socket_path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(socket_path)
    listener = listen_at_path("-qmp unix", socket_path)
    assert "-qmp unix: replaced a stale socket" in capfd.readouterr().err
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(socket_path)
    listener.close()
    assert os.listdir(os.path.dirname(socket_path)) == []


@pytest.mark.parametrize("kind", ["file", "folder", "fifo", "dangling link", "link to a file"])
def test_anything_but_a_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "there"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        target = tmp_path / "target"
        if kind == "link to a file":
            target.write_text("precious")
        path.symlink_to(target)
    before = os.lstat(path)
    assert "is no socket" in _refused(str(path))
    assert os.lstat(path) == before


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", "the path has 0 bytes"),
        ("/tmp/" + "x" * 103, "the path has 108 bytes; allowed are 1 to 107"),
        ("/nonexistent/folder/qmp.sock", "No such file or directory"),
        ("/dev/null/qmp.sock", "Not a directory"),
    ],
)
def test_impossible_paths_are_refused_by_name(path: str, text: str) -> None:
    assert text in _refused(path)


def test_somebody_elses_socket_is_not_removed_at_the_end(socket_path: str) -> None:
    listener = listen_at_path("-qmp", socket_path)
    os.unlink(socket_path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(socket_path)
        listener.close()
        assert os.path.exists(socket_path)


def test_a_socket_that_is_gone_already_is_no_error_at_the_end(socket_path: str) -> None:
    listener = listen_at_path("-qmp", socket_path)
    os.unlink(socket_path)
    listener.close()


def test_one_that_came_alive_while_it_was_moved_aside_is_put_back(
    socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(socket_path)
        rename = os.rename

        def rename_and_wake(source: str, target: str) -> None:
            rename(source, target)
            other.listen()

        monkeypatch.setattr(os, "rename", rename_and_wake)
        assert "another process listens there" in _refused(socket_path)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(socket_path)
        assert os.listdir(os.path.dirname(socket_path)) == ["qmp.sock"]


def test_a_listening_socket_may_be_handed_over(tmp_path: Path, connect: Connect) -> None:
    path = str(tmp_path / "handed.sock")
    handed = socket.socket(socket.AF_UNIX)
    handed.bind(path)
    handed.listen()
    running = RunningMonitors()
    running.monitors.listen(ChardevConfig("char0", "socket", fd=handed.detach(), server=True, nowait=True))
    running.start()
    try:
        client = connect(path)
        client.negotiate()
        assert client.execute("query-chardev")["return"][0]["label"] == "char0"
        client.close()
    finally:
        running.stop()
    assert os.path.exists(path), "it isn't ours to remove"


@pytest.mark.parametrize("kind", ["closed", "file", "unconnected", "datagram"])
def test_other_descriptors_are_refused_and_stay_open(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        fd = os.open(tmp_path / "f", os.O_CREAT | os.O_RDWR)
    elif kind == "closed":
        fd = 999
    else:
        other = socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM
        fd = socket.socket(socket.AF_UNIX, other).detach()
    with pytest.raises(ConfigurationError, match=r"-chardev fd: .*listening stream socket"):
        adopt_listening_socket("-chardev fd", fd)
    if kind != "closed":
        os.close(fd)


def test_want_of_descriptors_is_logged_and_the_client_served_later(
    running: RunningMonitors,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    accept = UnixListener.accept
    failures = [errno.EMFILE, errno.ENFILE]

    def fail_first(self: UnixListener) -> object:
        if failures:
            number = failures.pop()
            raise OSError(number, os.strerror(number))
        return accept(self)

    monkeypatch.setattr(UnixListener, "accept", fail_first)
    monkeypatch.setattr("vmm_main.chardev.unix_listener._ACCEPT_RETRY_S", 0.01)
    connect().negotiate()
    assert failures == []
    assert capfd.readouterr().err.count("can't take a client") == 2


def test_several_sockets_serve_at_once(running: RunningMonitors, connect: Connect, tmp_path: Path) -> None:
    second = RunningMonitors()
    paths = [str(tmp_path / f"q{index}") for index in range(3)]
    for index, path in enumerate(paths):
        second.listen(path, f"qmp{index}")
    second.start()
    clients = [connect(path) for path in paths for _ in range(4)]
    for client in clients:
        client.negotiate()
    second.on_loop(second.machine.stop)
    for client in clients:
        assert client.receive()["event"] == "STOP"
    assert len(clients[0].execute("query-chardev")["return"]) == 3
    second.stop()
    for client in clients:
        assert client.receive() is None
    assert not any(os.path.exists(path) for path in paths)
