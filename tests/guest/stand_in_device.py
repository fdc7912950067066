"""A virtio device on a thread of the VMM itself: what the transport's tests in a guest talk to.

It answers each buffer with what it read there, disguised by the queue's number. Its configuration space, in
32-bit words: kicks it had since DRIVER_OK; a command, for the driver to write; a pattern. Any command but
NEEDS_RESET_COMMAND becomes the new pattern, by a change of the configuration.
"""

from __future__ import annotations

import os
import select
import struct
import threading
from typing import TYPE_CHECKING

from vmm_main.log import Logger

if TYPE_CHECKING:
    from vmm_main.event_loop import EventLoop
    from vmm_main.guest_memory import GuestMemory
    from vmm_main.virtio_mmio.virtio_device import Transport, VringSetup

QUEUES = 2
FEATURES = 1 << 3 | 1 << 32
FIRST_PATTERN = 0x11223344_55667788
NEEDS_RESET_COMMAND = 0xFFFF_FFFF

_DEADLINE_S = 60.0


def disguise(request: bytes, length: int, queue: int) -> bytes:
    """What the device makes of a request."""
    return bytes(byte ^ 0x5A + queue for byte in (request * length)[:length])


class _Ring:
    """The device's side of one split virtqueue whose buffers have two descriptors each (virtio 1.2 §2.7)."""

    def __init__(self, setup: VringSetup, memory: GuestMemory) -> None:
        self._setup = setup
        self._memory = memory
        self._next = 0

    def _word(self, gpa: int) -> int:
        return int.from_bytes(self._memory.read(gpa, 2), "little")

    def answer_all(self) -> int:
        """Uses every available buffer; returns how many."""
        setup, memory, answered = self._setup, self._memory, 0
        while self._next != self._word(setup.avail_gpa + 2):
            head = self._word(setup.avail_gpa + 4 + self._next % setup.num * 2)
            gpa, length, _, following = struct.unpack("<QIHH", memory.read(setup.desc_gpa + head * 16, 16))
            request = memory.read(gpa, length)
            gpa, length, _, _ = struct.unpack("<QIHH", memory.read(setup.desc_gpa + following * 16, 16))
            memory.write(gpa, disguise(request, length, setup.index))
            used = setup.used_gpa + 4 + self._next % setup.num * 8
            memory.write(used, struct.pack("<II", head, length))
            self._next = self._next + 1 & 0xFFFF
            memory.write(setup.used_gpa + 2, self._next.to_bytes(2, "little"))
            answered += 1
        return answered


class StandInDevice:
    """A VirtioDevice; the guest's memory must be given before the guest runs."""

    def __init__(self, device_id: str, loop: EventLoop) -> None:
        self.device_id = device_id
        self.virtio_id = 4
        self.features = FEATURES
        self.queue_max_sizes = (256,) * QUEUES
        self.config_space = struct.pack("<IIQ", 0, 0, FIRST_PATTERN)
        self.writable_config = ((4, 4),)
        self.kick_fds = [os.eventfd(0, os.EFD_CLOEXEC) for _ in range(QUEUES)]
        self.call_fds = [os.eventfd(0, os.EFD_CLOEXEC) for _ in range(QUEUES)]
        self.transport: Transport | None = None
        self.memory: GuestMemory | None = None
        self._loop = loop
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self._worker: threading.Thread | None = None
        self._kicks = 0

    def activate(self, features: int, vrings: list[VringSetup]) -> None:
        assert features == FEATURES
        assert self._worker is None
        assert self.memory is not None
        self._kicks = 0
        rings = {self.kick_fds[vring.index]: _Ring(vring, self.memory) for vring in vrings}
        self._worker = threading.Thread(target=self._work, args=(rings,), daemon=True)
        self._worker.start()

    def reset(self) -> bool:
        assert self._worker is not None
        os.eventfd_write(self._stop_fd, 1)
        self._worker.join(_DEADLINE_S)
        assert not self._worker.is_alive()
        self._worker = None
        self.config_space = struct.pack("<IIQ", 0, 0, FIRST_PATTERN)
        return True

    def write_config(self, offset: int, data: bytes) -> None:
        assert offset == 4
        self._loop.call_soon(lambda: self._obey(int.from_bytes(data, "little")))

    def report_fault(self, reason: str) -> None:
        Logger("virtio-mmio").warning(f"{self.device_id}: {reason}; the device needs a reset")

    def _obey(self, command: int) -> None:
        assert self.transport is not None
        if command == NEEDS_RESET_COMMAND:
            self.transport.needs_reset()
        else:
            self.config_space = struct.pack("<IIQ", self._kicks, command, command)
            self.transport.config_changed(self.config_space)

    def _work(self, rings: dict[int, _Ring]) -> None:
        poll = select.poll()
        for fd in (self._stop_fd, *rings):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._stop_fd:
                    os.eventfd_read(fd)
                    return
                self._kicks += os.eventfd_read(fd)
                if rings[fd].answer_all():
                    os.eventfd_write(self.call_fds[self.kick_fds.index(fd)], 1)
