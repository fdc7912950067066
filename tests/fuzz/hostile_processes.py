"""Spawner, zygote and device processes of a supervisor, all played by an input."""

from __future__ import annotations

import errno
import mmap
import os
import socket
from typing import TYPE_CHECKING, Any

import msgpack

from ipc.messages import PACKET_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.simulated_host import SimulatedKernel, SimulatedProcess

DESCRIPTORS_MAX = 253


def take_packet(end: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """What main has said, and the descriptors that came with it; None if it has said nothing."""
    try:
        packet, descriptors, _, _ = socket.recv_fds(end, PACKET_MAX_BYTES, DESCRIPTORS_MAX)
    except (BlockingIOError, ConnectionResetError):
        return None
    if not packet:
        return None
    envelope: dict[str, Any] = msgpack.unpackb(packet)
    return envelope, descriptors


def send_packet(end: socket.socket, packet: bytes) -> None:
    """Says something to main, which may be gone or slow."""
    try:
        end.send(packet, socket.MSG_NOSIGNAL)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.EAGAIN, errno.ENOTCONN, errno.EMSGSIZE):
            raise


class HostileDevice:
    """One device process: its end of the control socket, its black box, and what main has asked last."""

    def __init__(self, process: SimulatedProcess, control_fd: int, black_box_fd: int) -> None:
        self.process = process
        self._end = socket.socket(fileno=control_fd)
        self._end.setblocking(False)
        self._black_box = mmap.mmap(black_box_fd, 4096)
        os.close(black_box_fd)
        self.asked: list[tuple[str, int]] = []
        self.is_ready = False

    def hear(self) -> None:
        """Takes what main says; it keeps no descriptor."""
        while (
            self.process.status is None
            and self._end.fileno() >= 0
            and (heard := take_packet(self._end)) is not None
        ):
            envelope, descriptors = heard
            for fd in descriptors:
                os.close(fd)
            if envelope["i"]:
                self.asked.append((envelope["m"], envelope["i"]))

    def say(self, packet: bytes) -> None:
        if self._end.fileno() >= 0 and packet:
            send_packet(self._end, packet)

    def hang_up(self) -> None:
        self._end.close()

    def scribble(self, offset: int, content: bytes) -> None:
        """Writes to its black box."""
        offset %= len(self._black_box)
        content = content[: len(self._black_box) - offset]
        self._black_box[offset : offset + len(content)] = content

    def close(self) -> None:
        self._end.close()
        self._black_box.close()


class HostileSpawner:
    """In the place of vmm_main.device_supervisor.spawner.Spawner: makes zygotes that are played too."""

    def __init__(self, kernel: SimulatedKernel) -> None:
        self._kernel = kernel
        self.pid = kernel.make().pid
        self._pids: list[int] = []
        self._answers = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.zygotes: list[socket.socket] = []
        self.devices: list[HostileDevice] = []

    def fileno(self) -> int:
        return self._answers

    def request_zygote(self, socket_fd: int) -> None:
        end = socket.socket(fileno=os.dup(socket_fd))
        end.setblocking(False)
        self.zygotes.append(end)
        self._pids.append(self._kernel.make().pid)
        os.eventfd_write(self._answers, 1)

    def receive_pid(self) -> int | None:
        if not self._pids:
            os.eventfd_read(self._answers)
            return None
        return self._pids.pop(0)

    def close(self) -> None:
        if self._answers >= 0:
            os.close(self._answers)
            self._answers = -1

    def hear(self, answer: Callable[[int], dict[str, Any] | None]) -> None:
        """Zygotes make what they are asked for; answer(request id) may be another answer than that."""
        for end in self.zygotes:
            while end.fileno() >= 0 and (heard := take_packet(end)) is not None:
                envelope, descriptors = heard
                process = self._kernel.make()
                self.devices.append(HostileDevice(process, *descriptors))
                made = {"m": "MADE_DEVICE", "i": envelope["i"], "f": {"pid": process.pid}}
                send_packet(end, msgpack.packb(answer(envelope["i"]) or made))
        for device in self.devices:
            device.hear()

    def close_all(self) -> None:
        """At the end of an input."""
        self.close()
        for end in self.zygotes:
            end.close()
        for device in self.devices:
            device.close()
