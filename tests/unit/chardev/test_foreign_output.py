"""Output to a shared pipe or terminal that can't be opened again, because it is another user's."""

from __future__ import annotations

import fcntl
import os
import select
import tty
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from vmm_main.chardev import host_stream
from vmm_main.chardev.host_stream import OutputStream

if TYPE_CHECKING:
    from vmm_main.event_loop import EventLoop


def _pty() -> tuple[int, int]:
    master, slave = os.openpty()
    tty.setraw(slave)
    return master, slave


@pytest.mark.parametrize(("make", "length"), [(os.pipe, 300_000), (_pty, 60_000)], ids=["pipe", "terminal"])
def test_never_waits_and_loses_nothing(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch, make: Callable[[], tuple[int, int]], length: int
) -> None:
    monkeypatch.setattr(host_stream, "open_again", lambda _fd, _access: None)
    reading, writing = make()
    flags = fcntl.fcntl(writing, fcntl.F_GETFL)
    assert not flags & os.O_NONBLOCK, "a write that is too long would wait for ever"
    os.write(writing, b"x" * 1001)  # so that what is left isn't a multiple of anything
    data = bytes(i * i & 0xFF for i in range(length))
    rooms: list[None] = []
    dropped: list[int] = []
    stream = OutputStream(
        loop,
        writing,
        shared=True,
        on_room=lambda: rooms.append(None),
        on_drop=lambda count, _why: dropped.append(count),
    )
    taken = stream.write(data)
    assert 0 < taken < length
    arrived = bytearray()
    while len(arrived) < 1001 + length:
        if select.select([reading], [], [], 0)[0]:
            arrived += os.read(reading, 65536)
        loop.run_once(0)
        if rooms:
            rooms.clear()
            taken += stream.write(data[taken:])
    assert bytes(arrived) == b"x" * 1001 + data
    assert dropped == []
    assert fcntl.fcntl(writing, fcntl.F_GETFL) == flags
    stream.close()
    os.close(reading)
    os.close(writing)
