"""A driver with its hands on real virtio-mmio registers; behind them a supervised, jailed device.

No KVM: reads and writes go the way that a vCPU's exits go, and a write to QueueNotify that KVM would know as
an ioeventfd kicks.
"""

from __future__ import annotations

import os

from tests.device.hostile_driver.attack import NUM, Attack
from tests.device.hostile_driver.attacked_memory import PART, SPARSE_GPA
from tests.device.hostile_driver.declaration import DeclaredDevice
from tests.device.supervised_vm import SupervisedVm
from tools.fake_driver.driver_queue import DriverQueue
from vmm_main.kvm._kvm import ffi, lib
from vmm_main.machine.address_map import virtio_mmio_gpa
from vmm_main.machine.io_bus import IoBus
from vmm_main.virtio_mmio.slots import VirtioMmioSlots

# The steps of a driver (virtio 1.2 §2.1), and registers (§4.2.2).
ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK = 1, 3, 11, 15
NEEDS_RESET, FAILED = 64, 128
FEATURES_SEL, FEATURES, DRIVER_FEATURES_SEL, DRIVER_FEATURES = 0x14, 0x10, 0x24, 0x20
QUEUE_SEL, QUEUE_NUM, QUEUE_READY, QUEUE_NOTIFY, STATUS = 0x30, 0x38, 0x44, 0x50, 0x70
AREAS = {"desc_gpa": 0x80, "avail_gpa": 0x90, "used_gpa": 0xA0}
CONFIG, END = 0x100, 0x200
WIDTHS = (1, 2, 4, 8)


class SupervisedMemory:
    """A supervised VM's memory with what attacks ask of AttackedMemory: nothing lies behind its RAM."""

    def __init__(self, vm: SupervisedVm) -> None:
        self._ram = vm.ram
        self.write, self.read = vm.ram.write, vm.ram.read
        self.ram_bytes = self.hole_gpa = vm.ram.size
        self.read_only_gpa = self.ram_bytes + PART
        self.top_at = self.ram_bytes + 3 * PART
        self.sparse_gpa = SPARSE_GPA

    @staticmethod
    def place_of(gpa: int) -> int:
        return gpa


class RegisterDriver:
    """The only device of a VM, at slot 0.

    Attributes:
        queues: The driver's side of each of the device's.
        attacks: By those queues that take requests, what this driver does to them; new after each reset.
    """

    def __init__(self, vm: SupervisedVm, declaration: DeclaredDevice) -> None:
        self.vm = vm
        self.device = vm.device()
        self.declaration = declaration
        self.memory = SupervisedMemory(vm)
        self._bus = IoBus()
        self.slots = VirtioMmioSlots([self.device], self._bus, lambda gpa, size: gpa + size <= vm.ram.size)
        self.queues: list[DriverQueue] = []
        self.attacks: dict[int, Attack] = {}

    def read(self, offset: int, size: int = 4) -> int:
        gpa, data = virtio_mmio_gpa(0) + offset, ffi.new("uint8_t[8]")
        if lib.mmio_interrupts_access(self.slots.interrupts, gpa, size, 0, data):
            return int.from_bytes(bytes(ffi.buffer(data, size)), "little")
        return self._bus.read(gpa, size)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        if offset == QUEUE_NOTIFY and size == 4 and value < len(self.device.kick_fds):
            os.eventfd_write(self.device.kick_fds[value], 1)
            return
        gpa, data = virtio_mmio_gpa(0) + offset, ffi.new("uint8_t[8]", value.to_bytes(size, "little"))
        if not lib.mmio_interrupts_access(self.slots.interrupts, gpa, size, 1, data):
            self._bus.write(gpa, size, value)

    @property
    def status(self) -> int:
        return self.read(STATUS)

    def kick(self, index: int) -> None:
        self.write(QUEUE_NOTIFY, index)

    def offered(self) -> int:
        features = 0
        for word in range(2):
            self.write(FEATURES_SEL, word)
            features |= self.read(FEATURES) << 32 * word
        return features

    def negotiate(self, features: int) -> None:
        """From a reset device to the write of FEATURES_OK."""
        for step in (ACKNOWLEDGE, DRIVER):
            self.write(STATUS, step)
        for word in range(2):
            self.write(DRIVER_FEATURES_SEL, word)
            self.write(DRIVER_FEATURES, features >> 32 * word & 0xFFFF_FFFF)
        self.write(STATUS, FEATURES_OK)

    def write_queue(self, index: int, num: int, **areas: int) -> None:
        """Sets a queue up, or tries to."""
        self.write(QUEUE_SEL, index)
        self.write(QUEUE_NUM, num)
        for name, gpa in areas.items():
            self.write(AREAS[name], gpa & 0xFFFF_FFFF)
            self.write(AREAS[name] + 4, gpa >> 32)
        self.write(QUEUE_READY, 1)

    def lay_out(self, *, event_idx: bool) -> None:
        """Empty rings for every queue."""
        self.queues = []
        for index, eventfds in enumerate(zip(self.device.kick_fds, self.device.call_fds, strict=True)):
            queue = DriverQueue(self.vm.ram, index, NUM, eventfds, event_idx=event_idx)
            self.vm.ram.write(queue.desc_gpa, bytes(queue.STRIDE))
            queue.reset()
            self.queues.append(queue)
        self.attacks = {
            index: Attack(self.queues[index], self.memory, self.declaration, index)
            for index in self.declaration.queues
        }

    def go_live(self, lacks: int = 0) -> None:
        """A driver that behaves, from a reset device to DRIVER_OK."""
        features = self.offered() & ~lacks
        self.lay_out(event_idx=bool(features >> 29 & 1))
        self.negotiate(features)
        assert self.status == FEATURES_OK
        for index, queue in enumerate(self.queues):
            areas = {name: getattr(queue, name) for name in AREAS}
            self.write_queue(index, NUM, **areas)
            assert self.read(QUEUE_READY) == 1
        self.write(STATUS, DRIVER_OK)
        assert self.status == DRIVER_OK

    def reset(self) -> None:
        """Which must work, whatever was done."""
        self.write(STATUS, 0)
        assert self.status == 0

    def close(self) -> None:
        self.slots.close()
