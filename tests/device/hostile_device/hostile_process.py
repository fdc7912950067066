"""A device's process that was taken over: everything that it holds, in the hands of an attack.

It is born, jailed and filtered as any other of its kind; from READY on (or from the message that an attack
waits for) somebody else decides what it says and does. Runs in the device's process only.
"""

from __future__ import annotations

import _socket
import random
import select
from typing import Any

import msgpack

from device_procs.data_plane._data_plane import ffi, lib
from tests.device.hostile_device.scoreboard import BOARD, BOARD_GPA, SEED_GPA

_PAGE = 4096


class HostileProcess:
    """What an attack has to work with."""

    def __init__(self, thread: Any) -> None:
        """thread is the process's ControlThread."""
        self.thread = thread
        self.socket: _socket.socket = thread._channel._socket
        self.last_request = 0

    # What it says.

    def packet(self, name: Any, request_id: Any, fields: Any) -> bytes:
        """A packet as the protocol has it, with whatever is in it."""
        packed: bytes = msgpack.packb({"m": name, "i": request_id, "f": fields})
        return packed

    def send(self, packet: bytes) -> None:
        """Sends bytes, and waits for room if there is none."""
        while True:
            try:
                self.socket.send(packet)
            except BlockingIOError:
                self.wait_for(select.POLLOUT)
            else:
                return

    def say(self, name: Any, request_id: Any = 0, **fields: Any) -> None:
        """Sends a message."""
        self.send(self.packet(name, request_id, fields))

    def flood(self, packet: bytes) -> None:
        """Sends it for ever."""
        while True:
            self.send(packet)

    def wait_for(self, events: int = 0, timeout_ms: int | None = None) -> None:
        """Waits for the control socket; events=0 waits for its end, which only comes with main's."""
        poll = select.poll()
        poll.register(self.socket, events)
        poll.poll(timeout_ms)

    def be_silent(self) -> None:
        """Does nothing until it is killed."""
        while True:
            self.wait_for()

    # What it has mapped.

    @property
    def box(self) -> Any:
        """The black box, as bytes."""
        return ffi.buffer(self.thread._black_box, _PAGE)

    def guest(self, gpa: int, length: int) -> Any:
        """Guest memory, as bytes that can be written."""
        pointer = lib.guest_memory_at(self.thread._queues._memory, gpa, length, True)
        assert pointer != ffi.NULL
        return ffi.buffer(pointer, length)

    def logs(self) -> list[Any]:
        """The in-flight logs, as bytes; none of a device that completes in order."""
        queues = self.thread._queues
        if queues._logs is None:
            return []
        return [ffi.buffer(ffi.cast("char *", log), 16 + 16 * room) for log, room in queues._logs]

    def used_rings(self) -> list[Any]:
        """The used rings that the driver has set up, as bytes."""
        setups = [setup.addresses for setup in self.thread._queues.setups]
        return [self.guest(each.used_gpa, 6 + 8 * each.num) for each in setups if each.num]

    def seeded(self) -> random.Random:
        """Random numbers of the test's seed, and of what is in the black box: others in each process."""
        return random.Random(int.from_bytes(self.guest(SEED_GPA, 8)[:], "little"))

    @property
    def board(self) -> int:
        """The address of the scoreboard."""
        return self.address_of(self.guest(BOARD_GPA, BOARD.size))

    def address_of(self, place: Any) -> int:
        """Where one of these is in this process."""
        return int(ffi.cast("uintptr_t", ffi.from_buffer(place)))

    def count(self, *, failed: bool, length: int) -> None:
        """Adds bytes to what the scoreboard counts as calls; a failure is the last word."""
        board = self.guest(BOARD_GPA, BOARD.size)
        total, _, _ = BOARD.unpack(board[:])
        board[:] = BOARD.pack(total + length, failed, failed)

    # What it holds.

    def kick_fds(self) -> list[int]:
        """The kick eventfds."""
        return [worker.queues[place].kick_fd for worker, place in self.thread._queues._places.values()]

    def call_fds(self) -> list[int]:
        """The call eventfds."""
        return [worker.queues[place].call_fd for worker, place in self.thread._queues._places.values()]
