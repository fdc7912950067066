"""A pty chardev: programs open the other end, leave, and come again."""

from __future__ import annotations

import os
import random
import select
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.chardev.front_end import DEADLINE_S, NotingFrontEnd, attach, run_until, settle
from vmm_main.chardev.pseudo_terminal import PtyChardev
from vmm_main.vm_config import ChardevConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmm_main.event_loop import EventLoop


@pytest.fixture
def backend(loop: EventLoop) -> Iterator[PtyChardev]:
    made = PtyChardev(ChardevConfig("c0", "pty"), loop)
    yield made
    made.close()


@pytest.fixture
def front_end(backend: PtyChardev) -> NotingFrontEnd:
    return attach(backend)


def open_pty(backend: PtyChardev) -> int:
    return os.open(backend.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)


def read_within_deadline(fd: int) -> bytes:
    assert select.select([fd], [], [], DEADLINE_S)[0], "nothing came"
    return os.read(fd, 65536)


def test_says_where_it_is_once_it_is_asked(loop: EventLoop, capfd: pytest.CaptureFixture[str]) -> None:
    backend = PtyChardev(ChardevConfig("serial0", "pty"), loop)
    assert capfd.readouterr().err == ""
    backend.announce()
    assert capfd.readouterr().err == (f"bulkhead: char device redirected to {backend.path} (label serial0)\n")
    assert backend.describe() == f"disconnected:pty:{backend.path}"
    backend.close()


def test_is_raw_for_everyone_who_opens_it(
    loop: EventLoop, backend: PtyChardev, front_end: NotingFrontEnd
) -> None:
    everything = bytes(range(256))
    for _ in range(2):
        terminal = open_pty(backend)
        assert not termios.tcgetattr(terminal)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
        run_until(loop, lambda: backend.connected)
        assert backend.describe() == f"pty:{backend.path}"
        os.write(terminal, everything)
        run_until(loop, lambda: front_end.received == everything)
        front_end.send(everything)
        arrived = b""
        while len(arrived) < 256:
            arrived += read_within_deadline(terminal)
        assert arrived == everything
        front_end.received.clear()
        os.close(terminal)
        run_until(loop, lambda: not backend.connected)
    assert front_end.events == ["connected", "disconnected"] * 2


def test_nobody_there(loop: EventLoop, backend: PtyChardev, front_end: NotingFrontEnd) -> None:
    front_end.send(b"x" * 100_000)
    assert front_end.pending == b""
    assert backend.dropped_bytes == 100_000
    assert backend.flush_at_exit(b"x", time.monotonic() + DEADLINE_S) == 0


def test_words_of_somebody_who_has_left_already(
    loop: EventLoop, backend: PtyChardev, front_end: NotingFrontEnd
) -> None:
    """`echo reboot >/dev/pts/3` is over before anybody looks."""
    subprocess.run(["sh", "-c", f"echo reboot >{backend.path}"], check=True)
    run_until(loop, lambda: front_end.received == b"reboot\n")
    run_until(loop, lambda: not backend.connected)


def test_slow_reader_gets_everything_in_order(
    loop: EventLoop, backend: PtyChardev, front_end: NotingFrontEnd
) -> None:
    data = random.Random(6).randbytes(300_000)
    terminal = open_pty(backend)
    run_until(loop, lambda: backend.connected)
    front_end.send(data)
    assert front_end.pending, "a pty holds less: the rest stays with its owner"
    settle(loop)
    arrived = bytearray()
    while len(arrived) < len(data):
        loop.run_once(0)
        if select.select([terminal], [], [], 0)[0]:
            arrived += os.read(terminal, 1000)
    assert bytes(arrived) == data
    assert backend.dropped_bytes == 0
    os.close(terminal)


def test_reader_that_leaves_in_the_middle(
    loop: EventLoop, backend: PtyChardev, front_end: NotingFrontEnd
) -> None:
    terminal = open_pty(backend)
    run_until(loop, lambda: backend.connected)
    front_end.send(b"x" * 300_000)
    left = len(front_end.pending)
    assert left > 0
    os.close(terminal)
    run_until(loop, lambda: front_end.pending == b"")
    assert backend.dropped_bytes == left
    run_until(loop, lambda: not backend.connected)


def test_leaves_in_the_middle_while_the_guest_does_not_read(
    loop: EventLoop, backend: PtyChardev, front_end: NotingFrontEnd
) -> None:
    """Neither side can move, and still the loop rests and the next one is heard."""
    front_end.room = 0
    terminal = open_pty(backend)
    run_until(loop, lambda: backend.connected)
    os.write(terminal, b"typed")
    settle(loop)
    front_end.send(b"x" * 300_000)
    settle(loop)
    os.close(terminal)
    run_until(loop, lambda: not backend.connected)
    settle(loop)
    assert front_end.pending == b""
    front_end.make_room(2)
    run_until(loop, lambda: front_end.received == b"ty")
    assert not backend.connected
    front_end.make_room(1000)
    run_until(loop, lambda: front_end.received == b"typed")
    terminal = open_pty(backend)
    run_until(loop, lambda: backend.connected)
    os.write(terminal, b" again")
    run_until(loop, lambda: front_end.received == b"typed again")
    os.close(terminal)


def test_reads_only_what_the_guest_has_room_for(
    loop: EventLoop, backend: PtyChardev, front_end: NotingFrontEnd
) -> None:
    front_end.room = 0
    data = random.Random(7).randbytes(3000)
    terminal = open_pty(backend)
    os.write(terminal, data)
    run_until(loop, lambda: backend.connected)
    settle(loop)
    while len(front_end.received) < len(data):
        front_end.make_room(min(100, len(data) - len(front_end.received)))
        run_until(loop, lambda: front_end.room == 0)
    assert bytes(front_end.received) == data
    assert front_end.largest_excess <= 0
    os.close(terminal)


def test_hangs_up_at_the_end(loop: EventLoop) -> None:
    backend = PtyChardev(ChardevConfig("c0", "pty"), loop)
    attach(backend)
    terminal = open_pty(backend)
    run_until(loop, lambda: backend.connected)
    backend.close()
    assert read_within_deadline(terminal) == b""
    os.close(terminal)
