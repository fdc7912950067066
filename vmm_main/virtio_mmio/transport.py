"""One virtio-mmio device's registers, version 2, as virtio 1.2 §4.2.2 has them.

InterruptStatus and InterruptACK aren't here: the vCPU loop answers them in C (mmio_interrupt.c). A kick by
QueueNotify comes here only if no ioeventfd knows it, and then there is no such queue. What a driver must not
do (§4.2.2.2) has no effect: accesses of another width than 32 bits, or to other offsets, or in a direction
that the register hasn't, read as 0 and are ignored when written.

Threads and locks. vCPU threads come by read() and write(), and the main thread by needs_reset() and
config_changed(). Two locks, always taken in this order:

- _driver_lock, by vCPU threads alone, for what calls the device: writes of Status and of the configuration
  space. It keeps those calls in the order of the driver's writes, and a CPU that makes one while another
  CPU's reset is under way waits for it here. No other access to a register waits for a device.
- _lock, by everybody, for every look at the registers. It is never held while the device is called, which
  may take locks of its own there and take _lock under them when it calls needs_reset().

The main thread takes _driver_lock in reset() only, at a reboot: then no CPU can have it, for all are parked.
"""

from __future__ import annotations

import _thread

from vmm_main.log import Logger
from vmm_main.virtio_mmio.device_status import DEVICE_NEEDS_RESET, DRIVER_OK, FAILED, FEATURES_OK, next_status
from vmm_main.virtio_mmio.device_status import DRIVER as DRIVER_STATUS
from vmm_main.virtio_mmio.queue_registers import QueueRegisters
from vmm_main.virtio_mmio.registers import (
    AREA_REGISTERS,
    CONFIG,
    CONFIG_GENERATION,
    CONFIG_MAX_BYTES,
    CONSTANTS,
    DEVICE_FEATURES,
    DEVICE_FEATURES_SEL,
    DEVICE_ID,
    DRIVER_FEATURES,
    DRIVER_FEATURES_SEL,
    OFFERABLE,
    QUEUE_NUM,
    QUEUE_NUM_MAX,
    QUEUE_READY,
    QUEUE_SEL,
    STATUS,
    UINT32_MAX,
    VERSION_1,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from vmm_main.virtio_mmio.virtio_device import VirtioDevice

    class InterruptRegisters(Protocol):
        """InterruptStatus of one device, and the line that it is about."""

        def set_used_buffers(self) -> None:
            """From now on used-buffer notifications may come at any time, and the bit is always set."""

        def set_config_changed(self) -> None:
            """The bit is set until the driver acknowledges it."""

        def config_change_is_pending(self) -> bool:
            """Whether the driver has it still to acknowledge."""

        def interrupt(self) -> None:
            """Raises the line."""

        def clear(self) -> None:
            """Clears all bits."""


_log = Logger("virtio-mmio")


class VirtioMmioTransport:
    """The registers of one device; an IoDevice on the memory bus, and the device's Transport."""

    __slots__ = ("_config", "_device", "_device_features_sel", "_device_is_involved", "_driver_features",
                 "_driver_features_sel", "_driver_lock", "_generation", "_interrupt", "_is_ram", "_lock",
                 "_queue_sel", "_queues", "_status", "_unknown_features")  # fmt: skip

    def __init__(
        self, device: VirtioDevice, interrupt: InterruptRegisters, is_ram: Callable[[int, int], bool]
    ) -> None:
        """Puts registers before a device, in the state after a reset.

        Args:
            device: What is behind them; its transport is this one from now on.
            interrupt: The registers that C answers.
            is_ram: Whether a range of guest-physical addresses, by start and length, is all RAM.
        """
        self._device = device
        self._interrupt = interrupt
        self._is_ram = is_ram
        self._driver_lock = _thread.allocate_lock()
        self._lock = _thread.allocate_lock()
        self._queues = [QueueRegisters(num_max) for num_max in device.queue_max_sizes]
        self._config = device.config_space[:CONFIG_MAX_BYTES]
        self._generation = 0
        self._clear()
        device.transport = self

    # vCPU threads.

    def read(self, offset: int, size: int) -> int:
        """A register or a piece of the configuration space."""
        if offset >= CONFIG:
            return self._read_config(offset - CONFIG, size)
        if size != 4:
            return 0
        if offset in CONSTANTS:
            return CONSTANTS[offset]
        with self._lock:
            return self._read_register(offset)

    def write(self, offset: int, size: int, value: int) -> None:
        """A register or a piece of the configuration space."""
        if offset >= CONFIG:
            self._write_config(offset - CONFIG, value.to_bytes(size, "little"))
        elif size != 4:
            return
        elif offset == STATUS:
            self._write_status(value)
        elif offset in AREA_REGISTERS or offset in (QUEUE_NUM, QUEUE_READY):
            with self._lock:
                self._write_queue(offset, value)
        else:
            with self._lock:
                self._write_selector_or_features(offset, value)

    # The main thread.

    def needs_reset(self) -> None:
        """The device can't go on until the driver has reset it (virtio 1.2 §2.1.2)."""
        with self._lock:
            self._device_is_involved = True
            self._set_needs_reset()

    def config_changed(self, config: bytes) -> None:
        """Shows the driver another configuration space, and tells it once it is ready to hear of it."""
        with self._lock:
            # In one step: whoever reads the same generation before and after has seen one of the two.
            self._config = config[:CONFIG_MAX_BYTES]
            self._generation = self._generation + 1 & UINT32_MAX
            if self._status != 0:
                self._tell_config_changed()

    def reset(self) -> bool:
        """What the driver's 0 in Status does, at a reboot; the vCPUs must be parked.

        Returns:
            False: the device can't be reset, and may go on using its queues.
        """
        with self._driver_lock:
            return self._reset()

    # Both; with _lock held.

    def _set_needs_reset(self) -> None:
        self._status |= DEVICE_NEEDS_RESET
        # "If DRIVER_OK is set, after it sets DEVICE_NEEDS_RESET, the device MUST send a device configuration
        # change notification to the driver." And not before, as nothing is.
        if self._status & DRIVER_OK:
            self._tell_config_changed()

    def _tell_config_changed(self) -> None:
        # "The device MUST present each event by setting the corresponding bit in InterruptStatus from the
        # moment it takes place"; the notification itself waits for DRIVER_OK (_write_status()).
        self._interrupt.set_config_changed()
        if self._status & DRIVER_OK:
            self._interrupt.interrupt()

    def _clear(self) -> None:
        """The state after a reset, but for the generation: it only ever moves on."""
        # §2.4.1: "A device MUST reinitialize device status to 0 after receiving a reset."
        self._status = 0
        self._device_is_involved = False
        self._device_features_sel = self._driver_features_sel = self._queue_sel = 0
        self._driver_features = 0
        self._unknown_features = False
        # "Upon reset, the device MUST clear all bits in InterruptStatus and ready bits in the QueueReady
        # register for all queues in the device."
        self._interrupt.clear()
        for queue in self._queues:
            queue.reset()
        config = self._device.config_space[:CONFIG_MAX_BYTES]
        if config != self._config:
            self._config = config
            self._generation = self._generation + 1 & UINT32_MAX

    # Status.

    def _write_status(self, written: int) -> None:
        with self._driver_lock:
            if written == 0:
                self._reset()
                return
            with self._lock:
                status = next_status(self._status, written)
                entered = status & ~self._status
                if entered & FEATURES_OK and not self._features_are_acceptable():
                    # §2.2.2: "it MUST fail to set the FEATURES_OK device status bit when the driver writes
                    # it."
                    _log.warning_once(
                        f"{self._device.device_id}: the driver's choice of features is refused: some aren't "
                        "offered, or VIRTIO_F_VERSION_1 is missing"
                    )
                    return
                self._status = status
                if not entered & DRIVER_OK:
                    return
                self._device_is_involved = True
                self._interrupt.set_used_buffers()
                if self._interrupt.config_change_is_pending():
                    self._interrupt.interrupt()
                features = self._driver_features
                vrings = [queue.setup(index) for index, queue in enumerate(self._queues) if queue.ready]
            self._device.activate(features, vrings)

    def _reset(self) -> bool:
        """Resets device and registers; with _driver_lock held, which makes the next driver's write wait."""
        with self._lock:
            if not self._device_is_involved:
                self._clear()
                return True
        # Meanwhile Status shows what it was, and queues and features can't be written, since DRIVER_OK or
        # DEVICE_NEEDS_RESET is set.
        done = self._device.reset()
        with self._lock:
            if done:
                self._clear()
            else:
                self._set_needs_reset()
        return done

    # Features.

    def _offered(self) -> int:
        return self._device.features & OFFERABLE

    def _features_are_acceptable(self) -> bool:
        # §2.2.1: "The driver MUST NOT accept a feature which the device did not offer". §6.2: "A device MAY
        # fail to operate further if VIRTIO_F_VERSION_1 is not accepted": there is no legacy interface here.
        accepted = self._driver_features
        return not self._unknown_features and accepted & ~self._offered() == 0 and bool(accepted & VERSION_1)

    # Registers, with _lock held.

    def _read_register(self, offset: int) -> int:
        if offset == STATUS:
            return self._status
        if offset == DEVICE_ID:
            return self._device.virtio_id
        if offset == DEVICE_FEATURES:
            # "bits DeviceFeaturesSel*32 to (DeviceFeaturesSel*32)+31"; 64 is further than there are any.
            return self._offered() >> 32 * min(self._device_features_sel, 2) & UINT32_MAX
        if offset == CONFIG_GENERATION:
            return self._generation
        if offset in (QUEUE_NUM_MAX, QUEUE_READY) and self._queue_sel < len(self._queues):
            queue = self._queues[self._queue_sel]
            return queue.num_max if offset == QUEUE_NUM_MAX else int(queue.ready)
        return 0  # a queue that isn't there, or a register that can't be read

    def _write_selector_or_features(self, offset: int, value: int) -> None:
        if offset == DEVICE_FEATURES_SEL:
            self._device_features_sel = value
        elif offset == DRIVER_FEATURES_SEL:
            self._driver_features_sel = value
        elif offset == QUEUE_SEL:
            self._queue_sel = value
        elif offset == DRIVER_FEATURES and self._is_between(DRIVER_STATUS, FEATURES_OK):
            # §3.1.1: "The driver MUST NOT accept new feature bits after this step", which is FEATURES_OK.
            if self._driver_features_sel < 2:
                shift = 32 * self._driver_features_sel
                kept = self._driver_features & ~(UINT32_MAX << shift)
                self._driver_features = kept | value << shift
            elif value != 0:
                self._unknown_features = True  # nothing is offered up there

    def _is_between(self, reached: int, not_reached: int) -> bool:
        """Whether the driver has got as far as one status bit, and nothing is wrong yet."""
        return bool(self._status & reached) and not self._status & (not_reached | FAILED | DEVICE_NEEDS_RESET)

    def _write_queue(self, offset: int, value: int) -> None:
        # Queues are set up between FEATURES_OK and DRIVER_OK (§3.1.1). QueueReady can't be taken back while
        # the device runs: it stays 1, so that "The device MUST NOT access virtual queue contents when
        # QueueReady is zero" holds, and the driver that "MUST read the value back" sees it. A reset stops a
        # queue.
        if self._queue_sel >= len(self._queues) or not self._is_between(FEATURES_OK, DRIVER_OK):
            return
        queue = self._queues[self._queue_sel]
        if offset == QUEUE_READY:
            self._write_queue_ready(queue, value)
        elif queue.ready:
            # "When QueueReady is not zero, the driver MUST NOT access QueueNum, QueueDescLow, [...]": what
            # was checked stays as it was.
            return
        elif offset == QUEUE_NUM:
            queue.write_num(value)
        else:
            queue.write_area(*AREA_REGISTERS[offset], value)

    def _write_queue_ready(self, queue: QueueRegisters, value: int) -> None:
        if value == 0:
            queue.ready = False
        elif value == 1 and not queue.ready:
            fault = queue.fault(self._is_ram)
            if fault is None:
                queue.ready = True
                return
            # Once: the driver may go on writing here.
            if not self._status & DEVICE_NEEDS_RESET:
                self._device.report_fault(f"the driver's queue {self._queue_sel} can't be used: {fault}")
            self._set_needs_reset()

    # The configuration space.

    def _read_config(self, offset: int, size: int) -> int:
        # "The device MUST allow reading of any device-specific configuration field before FEATURES_OK is set
        # by the driver" (§2.5.2). Any width does; what is beyond the device's fields reads as 0.
        with self._lock:
            return int.from_bytes(self._config[offset : offset + size], "little")

    def _write_config(self, offset: int, data: bytes) -> None:
        # §3.1.1: before FEATURES_OK a driver "MAY read (but MUST NOT write) the device-specific configuration
        # fields"; afterwards only fields that are for it to write, each as a whole.
        with self._driver_lock:
            with self._lock:
                if not self._is_between(FEATURES_OK, 0):
                    return
                if (offset, len(data)) not in self._device.writable_config:
                    return
                if offset + len(data) > len(self._config):
                    return
                self._config = self._config[:offset] + data + self._config[offset + len(data) :]
            self._device.write_config(offset, data)
