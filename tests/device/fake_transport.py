"""What virtio-mmio is towards a device, without registers: the driver's steps are calls, kicks are eventfds.

Queues have a kick and a call eventfd each, and that is all: nothing in it is peculiar to MMIO.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tools.fake_driver.driver_queue import DriverQueue
from tools.fake_driver.guest_ram import GuestRam
from vmm_main.virtio_mmio.virtio_device import VringSetup

if TYPE_CHECKING:
    from vmm_main.virtio_mmio.virtio_device import VirtioDevice

VERSION_1, EVENT_IDX = 1 << 32, 1 << 29


class FakeTransport:
    """Stands between a supervised device and a test that is its driver and its vCPU."""

    def __init__(self, device: VirtioDevice, ram: GuestRam, first_queue: int = 0) -> None:
        """Takes the device's place at a slot.

        Args:
            device: As the supervisor shows it.
            ram: The VM's memory.
            first_queue: Rings are laid out in the places of queues from this one on.
        """
        self.device = device
        self._ram = ram
        self._first_queue = first_queue
        self.queues: list[DriverQueue] = []
        self.configs: list[bytes] = []
        self.reset_is_needed = threading.Event()
        device.transport = self

    def needs_reset(self) -> None:
        """The device sets DEVICE_NEEDS_RESET."""
        self.reset_is_needed.set()

    def config_changed(self, config: bytes) -> None:
        """The configuration interrupt."""
        self.configs.append(config)

    def driver_ok(self, features: int | None = None, size: int = 64) -> None:
        """Negotiates, lays empty rings out and sets DRIVER_OK."""
        offered = self.device.features
        assert offered & VERSION_1
        accepted = offered if features is None else features
        assert not accepted & ~offered
        self.queues, vrings = [], []
        for index, largest in enumerate(self.device.queue_max_sizes):
            eventfds = (self.device.kick_fds[index], self.device.call_fds[index])
            queue = DriverQueue(
                self._ram,
                self._first_queue + index,
                min(size, largest),
                eventfds,
                event_idx=bool(accepted & EVENT_IDX),
            )
            queue.reset()
            self.queues.append(queue)
            vrings.append(VringSetup(index, queue.num, queue.desc_gpa, queue.avail_gpa, queue.used_gpa))
        self.device.activate(accepted, vrings)

    def reset(self) -> bool:
        """The driver writes 0 to Status."""
        done = self.device.reset()
        self.reset_is_needed.clear()
        return done
