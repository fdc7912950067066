"""A device that notes what it is told, and a driver's hands on the registers before it."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vmm_main.guest_memory import GuestMemory
from vmm_main.kvm._kvm import ffi, lib
from vmm_main.machine.address_map import virtio_mmio_gpa
from vmm_main.machine.io_bus import IoBus
from vmm_main.virtio_mmio.slots import VirtioMmioSlots

if TYPE_CHECKING:
    from vmm_main.virtio_mmio.virtio_device import Transport, VringSetup

MEMORY_BYTES = 2 << 20
OFFERED = 1 << 0 | 1 << 5 | 1 << 28 | 1 << 29 | 1 << 32
CONFIG = bytes(range(0x10, 0x30))
WRITABLE = ((4, 4), (8, 1), (10, 2))

# The steps of a driver (virtio 1.2 §2.1), as numbers that the code under test has no part in.
ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK = 1, 3, 11, 15
NEEDS_RESET, FAILED = 64, 128

# (QueueNum, descriptor table, available ring, used ring)
Queue = tuple[int, int, int, int]
GOOD_QUEUE: Queue = (16, 0x1000, 0x2000, 0x3000)


class NotingDevice:
    """A VirtioDevice without a process; calls has what it was told, in order."""

    def __init__(self, device_id: str = "d0", queue_max_sizes: Sequence[int] = (256, 64)) -> None:
        self.device_id = device_id
        self.virtio_id = 4
        self.features = OFFERED
        self.queue_max_sizes = queue_max_sizes
        self.config_space = CONFIG
        self.writable_config: Sequence[tuple[int, int]] = WRITABLE
        self.kick_fds = [os.eventfd(0) for _ in queue_max_sizes]
        self.call_fds = [os.eventfd(0) for _ in queue_max_sizes]
        self.transport: Transport | None = None
        self.calls: list[str] = []
        self.faults: list[str] = []
        self.vrings: list[VringSetup] = []
        self.accepted = 0
        self.when_reset: Callable[[], bool] = lambda: True

    def activate(self, features: int, vrings: list[VringSetup]) -> None:
        self.calls.append("activate")
        self.accepted = features
        self.vrings = vrings

    def reset(self) -> bool:
        self.calls.append("reset")
        return self.when_reset()

    def write_config(self, offset: int, data: bytes) -> None:
        self.calls.append(f"write {offset} {data.hex()}")

    def report_fault(self, reason: str) -> None:
        self.faults.append(reason)

    def told(self) -> Transport:
        assert self.transport is not None
        return self.transport

    def close(self) -> None:
        for fd in (*self.kick_fds, *self.call_fds):
            os.close(fd)


class DriverRig:
    """Slot 0 of a board: reads and writes go the way that a vCPU's exits go."""

    def __init__(
        self, device: NotingDevice | None = None, is_ram: Callable[[int, int], bool] | None = None
    ) -> None:
        """is_ram stands in for the memory's; its default are the 2 MiB that there are."""
        self.device = NotingDevice() if device is None else device
        self.memory = GuestMemory(MEMORY_BYTES, include_in_core=True)
        self._data = ffi.new("uint8_t[8]")
        self._bus = IoBus()
        self.slots = VirtioMmioSlots([self.device], self._bus, is_ram or self.memory.is_ram)

    def read(self, offset: int, size: int = 4) -> int:
        gpa = virtio_mmio_gpa(0) + offset
        if lib.mmio_interrupts_access(self.slots.interrupts, gpa, size, 0, self._data):
            return int.from_bytes(bytes(ffi.buffer(self._data, size)), "little")
        return self._bus.read(gpa, size)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        gpa = virtio_mmio_gpa(0) + offset
        ffi.memmove(self._data, value.to_bytes(size, "little"), size)
        if not lib.mmio_interrupts_access(self.slots.interrupts, gpa, size, 1, self._data):
            self._bus.write(gpa, size, value)

    @property
    def status(self) -> int:
        return self.read(0x70)

    def offered(self) -> int:
        """All that DeviceFeatures shows, of the words 0 to 3."""
        features = 0
        for word in range(4):
            self.write(0x14, word)
            features |= self.read(0x10) << 32 * word
        return features

    def accept(self, features: int) -> None:
        for word in range(2):
            self.write(0x24, word)
            self.write(0x20, features >> 32 * word & 0xFFFF_FFFF)

    def negotiate(self, features: int = OFFERED) -> None:
        """A driver's way to FEATURES_OK, which must stay set."""
        self.write(0x70, 0)
        self.write(0x70, ACKNOWLEDGE)
        self.write(0x70, DRIVER)
        self.accept(features)
        self.write(0x70, FEATURES_OK)
        assert self.status == FEATURES_OK

    def set_up_queue(self, index: int, queue: Queue = GOOD_QUEUE) -> None:
        num, *areas = queue
        self.write(0x30, index)
        self.write(0x38, num)
        for register, gpa in zip((0x80, 0x90, 0xA0), areas, strict=True):
            self.write(register, gpa & 0xFFFF_FFFF)
            self.write(register + 4, gpa >> 32)
        self.write(0x44, 1)

    def go_live(self, features: int = OFFERED) -> None:
        self.negotiate(features)
        self.set_up_queue(0)
        self.write(0x70, DRIVER_OK)
        assert self.status == DRIVER_OK

    def interrupts(self) -> int:
        """How often main has raised the line since it was last asked."""
        (fd,) = self.slots.interrupt_fds
        return os.eventfd_read(fd) if select.select([fd], [], [], 0)[0] else 0

    def close(self) -> None:
        self.slots.close()
        self.memory.close()
        self.device.close()
