"""The board's virtio-mmio slots: which device is in which, and how KVM leads kicks and interrupts past main.

A write to QueueNotify signals the queue's kick eventfd (ioeventfd: 32 bits wide, the value is the queue's
index). A call eventfd, which the device's worker writes, raises the slot's GSI (irqfd); so does an eventfd of
main's own, for configuration changes. All of that belongs to a KVM VM, and a reboot makes a new one: attach()
is called for each.
"""

from __future__ import annotations

import posix as os

from vmm_main.errors import ConfigurationError, HostError
from vmm_main.kvm._kvm import ffi, lib
from vmm_main.machine.address_map import (
    VIRTIO_MMIO_GPA,
    VIRTIO_MMIO_SIZE,
    VIRTIO_MMIO_SLOTS,
    VIRTIO_MMIO_STRIDE,
    virtio_mmio_gpa,
)
from vmm_main.machine.gsi_map import VIRTIO_MMIO_GSIS
from vmm_main.virtio_mmio.registers import NOTIFY_BYTES, QUEUE_NOTIFY
from vmm_main.virtio_mmio.transport import VirtioMmioTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmm_main.kvm.vm import KvmVm
    from vmm_main.machine.io_bus import IoBus
    from vmm_main.virtio_mmio.virtio_device import VirtioDevice


class SlotInterrupt:
    """A slot's InterruptStatus, kept where the vCPU loop finds it, and main's way to raise its GSI."""

    __slots__ = ("_interrupts", "_slot", "fd")

    def __init__(self, interrupts: ffi.CData, slot: int) -> None:
        self._interrupts = interrupts
        self._slot = slot
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def set_used_buffers(self) -> None:
        """From now on InterruptStatus has the bit."""
        lib.mmio_interrupts_set(self._interrupts, self._slot, lib.MMIO_INTERRUPT_USED_BUFFERS)

    def set_config_changed(self) -> None:
        """InterruptStatus has the bit until the driver acknowledges it."""
        lib.mmio_interrupts_set(self._interrupts, self._slot, lib.MMIO_INTERRUPT_CONFIG_CHANGED)

    def config_change_is_pending(self) -> bool:
        """Whether InterruptStatus has that bit."""
        status = lib.mmio_interrupts_status(self._interrupts, self._slot)
        return bool(status & lib.MMIO_INTERRUPT_CONFIG_CHANGED)

    def interrupt(self) -> None:
        """Raises the GSI, by way of KVM."""
        os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """InterruptStatus is 0."""
        bits = lib.MMIO_INTERRUPT_USED_BUFFERS | lib.MMIO_INTERRUPT_CONFIG_CHANGED
        lib.mmio_interrupts_clear(self._interrupts, self._slot, bits)

    def close(self) -> None:
        """Closes the eventfd."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class VirtioMmioSlots:
    """The devices of one board, in slots from 0 on. For the main thread."""

    __slots__ = ("_devices", "_signals", "_transports", "interrupts")

    def __init__(
        self, devices: Sequence[VirtioDevice], bus: IoBus, is_ram: Callable[[int, int], bool]
    ) -> None:
        """Puts each device's registers on the memory bus.

        Args:
            devices: In the order of their slots.
            bus: Of the board.
            is_ram: As VirtioMmioTransport takes it.

        Raises:
            ConfigurationError: There are more devices than slots.
        """
        if len(devices) > VIRTIO_MMIO_SLOTS:
            raise ConfigurationError(
                f"{len(devices)} virtio-mmio devices: this board has {VIRTIO_MMIO_SLOTS} slots for them"
            )
        self.interrupts = ffi.new("struct mmio_interrupts *")
        self.interrupts.base_gpa = VIRTIO_MMIO_GPA
        self.interrupts.stride = VIRTIO_MMIO_STRIDE
        self.interrupts.slots = len(devices)
        self._devices = list(devices)
        self._signals = [SlotInterrupt(self.interrupts, slot) for slot in range(len(devices))]
        self._transports = [
            VirtioMmioTransport(device, signal, is_ram)
            for device, signal in zip(devices, self._signals, strict=True)
        ]
        for slot, transport in enumerate(self._transports):
            bus.add(virtio_mmio_gpa(slot), VIRTIO_MMIO_SIZE, transport)

    @property
    def present(self) -> int:
        """Which slots hold a device, one bit each."""
        return (1 << len(self._devices)) - 1

    @property
    def interrupt_fds(self) -> list[int]:
        """Main's own eventfd of each slot."""
        return [signal.fd for signal in self._signals]

    def attach(self, vm: KvmVm) -> None:
        """Registers every device's eventfds with a new KVM VM; they go when it is closed.

        Raises:
            HostError: KVM refuses one.
        """
        for slot, (device, signal) in enumerate(zip(self._devices, self._signals, strict=True)):
            gsi = VIRTIO_MMIO_GSIS[slot]
            vm.add_irqfd(signal.fd, gsi)
            for call_fd in device.call_fds:
                vm.add_irqfd(call_fd, gsi)
            notify_gpa = virtio_mmio_gpa(slot) + QUEUE_NOTIFY
            for queue, kick_fd in enumerate(device.kick_fds):
                vm.add_ioeventfd(kick_fd, notify_gpa, NOTIFY_BYTES, queue)

    def reset_devices(self) -> None:
        """Resets every device, as a reboot does; all vCPUs must be parked.

        Raises:
            HostError: A device can't be reset: it may still write to the guest's memory.
        """
        stuck = [
            device.device_id
            for device, transport in zip(self._devices, self._transports, strict=True)
            if not transport.reset()
        ]
        if stuck:
            raise HostError(f"{', '.join(stuck)}: the device's process neither resets nor ends")

    def close(self) -> None:
        """Closes main's own eventfds; the devices' are theirs."""
        for signal in self._signals:
            signal.close()
