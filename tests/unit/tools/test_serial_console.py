"""Waiting for a guest's output: what matches, what doesn't, deadlines, and the port's end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from tools.first_boot.serial_console import ConsoleError, SerialConsole


@pytest.fixture
def port() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def guest(port: tuple[socket.socket, socket.socket]) -> socket.socket:
    return port[1]


@pytest.fixture
def console(port: tuple[socket.socket, socket.socket]) -> SerialConsole:
    return SerialConsole(port[0].fileno(), port[0].fileno())


def test_each_wait_starts_where_the_last_match_ended(guest: socket.socket, console: SerialConsole) -> None:
    guest.sendall(b"one\r\ntwo\r\none\r\nrest")
    assert console.wait_for("one\n", 5).group() == "one\n"
    assert console.wait_for("(?s)(.*)one\n", 5).group(1) == "two\n"
    assert console.wait_for("rest", 5)
    with pytest.raises(ConsoleError, match="passed while waiting"):
        console.wait_for("one", 0.01)


def test_match_may_come_in_pieces(guest: socket.socket, console: SerialConsole) -> None:
    guest.sendall(b"gue")
    with pytest.raises(ConsoleError):
        console.wait_for_prompt(0.01)
    guest.sendall(b"st# ")
    console.wait_for_prompt(5)


def test_closed_port_ends_the_wait_at_once(guest: socket.socket, console: SerialConsole) -> None:
    guest.sendall(b"Kernel panic\r\n")
    guest.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ConsoleError, match=r"(?s)was closed.*Kernel panic"):
        console.wait_for_prompt(3600)


def test_closed_pty_is_an_end_too() -> None:
    leader, follower = os.openpty()
    os.write(follower, b"bye\n")
    os.close(follower)
    console = SerialConsole(leader, leader)
    console.read_to_end(60)
    assert console.transcript == b"bye\r\n"
    os.close(leader)


def test_bytes_that_arent_text_are_waited_over(guest: socket.socket, console: SerialConsole) -> None:
    guest.sendall(b"\xff\xfe\x00\r\r\nguest# \xe2\x82")
    console.wait_for_prompt(5)
    guest.sendall(b"\xac next")
    console.wait_for("next", 5)
