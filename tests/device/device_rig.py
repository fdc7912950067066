"""main's side of one device process, without main: control socket, descriptors, black box, queues."""

from __future__ import annotations

import mmap
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_module import DeviceModule
from ipc.channel import Channel
from ipc.messages import PROTOCOL_VERSION, Message, vocabulary_for
from tools.fake_driver.driver_queue import DriverQueue
from tools.fake_driver.guest_ram import GuestRam
from vmm_main.device_supervisor.inflight_memory import InflightMemory

HANGS_AFTER_S = 20.0  # a start takes some 0.2 s on a busy machine
RAM_BYTES = 4 << 20

# Starts a process; it gets its control socket and its black box, and owns neither: returns its pid.
StartProcess = Callable[[DeviceModule, int, int], int]


class BlackBox:
    """The page that a device process writes, read as main reads it."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("black-box", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, lib.BLACK_BOX_BYTES)
        self._map = mmap.mmap(self.fd, lib.BLACK_BOX_BYTES)
        self._view = ffi.from_buffer(self._map)
        self.page: Any = ffi.cast("struct black_box *", self._view)

    def close(self) -> None:
        ffi.release(self._view)
        self._map.close()
        os.close(self.fd)


class DeviceRig:
    """One device process and everything that it is given."""

    def __init__(
        self, module: DeviceModule, start: StartProcess, *, seccomp: bool, ram: GuestRam | None = None
    ) -> None:
        self.module = module
        self.seccomp = seccomp
        self.vocabulary = vocabulary_for(module.config_schema, module.state_schema, module.metrics_schema)
        self._start = start
        self.ram = GuestRam(RAM_BYTES) if ram is None else ram
        self.kick_fds: list[int] = []
        self.call_fds: list[int] = []
        self.queues: list[DriverQueue] = []
        self.inflight: InflightMemory | None = None
        self._start_process()

    def _start_process(self) -> None:
        self.black_box = BlackBox()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.channel = Channel(ours.detach(), self.module.kind, self.vocabulary.from_device)
            self.pid = self._start(self.module, theirs.fileno(), self.black_box.fd)
        self.pidfd = os.pidfd_open(self.pid)
        self.reaped = False

    def start_successor(self) -> None:
        """Another process after this one has been reaped, with the same memory and eventfds."""
        assert self.reaped
        self._close_process()
        self._start_process()

    def _close_process(self) -> None:
        self.channel.close()
        os.close(self.pidfd)
        self.black_box.close()

    def make_queues(self, *sizes: int, event_idx: bool = True) -> None:
        for index, size in enumerate(sizes):
            self.kick_fds.append(os.eventfd(0, os.EFD_CLOEXEC))
            self.call_fds.append(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
            eventfds = (self.kick_fds[-1], self.call_fds[-1])
            self.queues.append(DriverQueue(self.ram, index, size, eventfds, event_idx=event_idx))

    def configure(self, config: dict[str, Any], backends: tuple[int, ...], /, **changes: Any) -> None:
        fields = {
            "version": PROTOCOL_VERSION,
            "config": config,
            "memory": self.ram.table(),
            "backends": len(backends),
            "queues": len(self.queues),
            "inflight": not self.module.completes_in_order,
            "seccomp": self.seccomp,
            **changes,
        }
        if self.inflight is None and not self.module.completes_in_order:
            self.inflight = InflightMemory([queue.num for queue in self.queues])
        log = () if self.inflight is None else (self.inflight.fd,)
        descriptors = (self.ram.fd, *backends, *self.kick_fds, *self.call_fds, *log)
        self.channel.send(Message("CONFIGURE", fields, self.channel.new_request_id(), descriptors))

    def send(self, name: str, **fields: Any) -> None:
        self.channel.send(Message(name, fields))

    def request(self, name: str, answer: str) -> dict[str, Any]:
        """A request without fields; its answer's fields."""
        number = self.channel.new_request_id()
        self.channel.send(Message(name, {}, number))
        message = self.next_message()
        assert (message.name, message.request_id) == (answer, number)
        return message.fields

    def next_message(self) -> Message:
        poll = select.poll()
        poll.register(self.channel.fileno(), select.POLLIN)
        expires = time.monotonic() + HANGS_AFTER_S
        while (message := self.channel.receive()) is None:
            left_ms = (expires - time.monotonic()) * 1000
            assert left_ms > 0, "the device is silent"
            poll.poll(left_ms)
        return message

    def expect(self, name: str) -> dict[str, Any]:
        """The fields of the next message, which must be this one."""
        message = self.next_message()
        assert message.name == name, (message.name, message.fields)
        return message.fields

    def run_queue(self, index: int, features: int, base: int | None = 0) -> None:
        """What main says at DRIVER_OK."""
        queue = self.queues[index]
        self.send("SET_FEATURES", features=features)
        self.send("SET_VRING_NUM", index=index, num=queue.num)
        addresses = {"desc_gpa": queue.desc_gpa, "avail_gpa": queue.avail_gpa, "used_gpa": queue.used_gpa}
        self.send("SET_VRING_ADDR", index=index, **addresses)
        self.send("SET_VRING_BASE", index=index, **({} if base is None else {"base": base}))
        self.send("SET_VRING_ENABLE", index=index, enable=True)

    def wait_for_end(self) -> int:
        """Waits for the process; its status as os.waitstatus_to_exitcode() has it."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        assert poll.poll(HANGS_AFTER_S * 1000), "the process doesn't end"
        _, status = os.waitpid(self.pid, 0)
        self.reaped = True
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Ends the process by closing its socket, which must be enough."""
        self.channel.close()
        if not self.reaped:
            self.wait_for_end()
        self._close_process()
        self.close_eventfds()
        self.ram.close()
        if self.inflight is not None:
            self.inflight.close()

    def close_eventfds(self) -> None:
        for fd in (*self.kick_fds, *self.call_fds):
            os.close(fd)
        self.kick_fds, self.call_fds = [], []
