"""Registers and configuration space: accesses of every width to every offset, before each kind of device.

What a driver may not write has no effect, a queue reaches the device only if it is all in RAM, and the
device's own code takes each write to its configuration space that the transport lets through.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from device_procs.device_registry import KINDS
from device_procs.device_runtime.control_thread import prepare
from device_procs.device_runtime.device import RING_FEATURES, Device
from tests.fuzz.byte_source import ByteSource
from tests.fuzz.sound_device import sound_device
from tests.fuzz.unjailed_device import unjailed
from tests.unit.virtio_mmio.driver_rig import MEMORY_BYTES, NotingDevice
from vmm_main.virtio_mmio.transport import VirtioMmioTransport
from vmm_main.virtio_mmio.virtio_device import VringSetup

_STEPS_MAX = 200
_SIZES = (1, 2, 4, 8, 4, 4, 4, 4)
_OFFSETS = (0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x20, 0x24, 0x30, 0x34, 0x38, 0x44, 0x50, 0x60, 0x64, 0x70,
            0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4, 0xAC, 0xB0, 0xC0, 0xFC)  # fmt: skip
_STATUS, _CONFIG = 0x70, 0x100
_LARGEST_CONFIG = 256
# A field of each width, on kinds that have none for the driver to write.
_WRITABLE = ((0, 1), (2, 2), (4, 4), (8, 8))


class _NotingInterrupt:
    def __init__(self) -> None:
        self.is_pending = False

    def set_used_buffers(self) -> None:
        pass

    def set_config_changed(self) -> None:
        self.is_pending = True

    def config_change_is_pending(self) -> bool:
        return self.is_pending

    def interrupt(self) -> None:
        pass

    def clear(self) -> None:
        self.is_pending = False


class _CheckingDevice(NotingDevice):
    """Takes what the transport lets through, and has the kind's own code take it too."""

    def __init__(self, behind: Device, writable: tuple[tuple[int, int], ...], *, is_own: bool) -> None:
        super().__init__(queue_max_sizes=(256,) * len(behind.queue_sets))
        self.features = behind.features
        self.config_space = behind.config_space.ljust(0 if is_own else 16, b"\0")
        self.writable_config = writable
        self._behind = behind
        self._is_own = is_own
        self._is_active = False

    def activate(self, features: int, vrings: list[VringSetup]) -> None:
        assert features & ~self.features == 0, hex(features)
        assert features & 1 << 32
        assert not self._is_active
        self._is_active = True
        for vring in vrings:
            assert vring.num in [1 << bit for bit in range(9)], vring.num
            sizes = ((vring.desc_gpa, 16), (vring.avail_gpa, 2), (vring.used_gpa, 8))
            for gpa, entry_bytes in sizes:
                assert 0 <= gpa <= MEMORY_BYTES - entry_bytes * vring.num - 6 * (entry_bytes < 16)

    def reset(self) -> bool:
        self._is_active = False
        return self.when_reset()

    def write_config(self, offset: int, data: bytes) -> None:
        assert (offset, len(data)) in self.writable_config
        assert offset + len(data) <= len(self.config_space)
        if self._is_own:
            self._behind.set_config(offset, data)


def _is_ram(gpa: int, length: int) -> bool:
    return gpa >= 0 and gpa + length <= MEMORY_BYTES


_behind: dict[str, Device] = {}


def _device_of(kind: str) -> Device:
    """One of each kind; its queues are never run."""
    if kind not in _behind:
        module, _ = prepare(kind)
        sound = sound_device(kind)
        back_end = __import__(module.back_end, fromlist=["make_device"])
        zeroes = tuple(os.open("/dev/zero", os.O_RDWR | os.O_CLOEXEC) for _ in range(sound.backends))
        with unjailed(kind):
            _behind[kind] = back_end.make_device(sound.config, zeroes)
    return _behind[kind]


def run(data: bytes) -> None:
    """A driver's accesses, with what main does in between."""
    source = ByteSource(data)
    kind = source.choice(sorted(KINDS))
    module, _ = prepare(kind)
    is_own = bool(module.writable_config) or not source.number() & 1
    device = _CheckingDevice(_device_of(kind), module.writable_config if is_own else _WRITABLE, is_own=is_own)
    try:
        _drive(VirtioMmioTransport(device, _NotingInterrupt(), _is_ram), device, source)
    finally:
        device.close()


def _drive(transport: VirtioMmioTransport, device: _CheckingDevice, source: ByteSource) -> None:
    for _ in range(_STEPS_MAX):
        if not source:
            break
        step = source.number()
        size = _SIZES[step & 7]
        if step & 0x80:
            offset = _CONFIG + source.number(2) % (_LARGEST_CONFIG + 32)
        elif step & 0x40:
            offset = source.number(2) % 0x1000
        else:
            offset = source.choice(_OFFSETS)
        if step & 0x38 == 0x38:
            _main_does(transport, device, source)
        elif step & 0x10:
            transport.write(offset, size, source.number(size))
        else:
            value = transport.read(offset, size)
            assert 0 <= value < 1 << 8 * size, (hex(offset), size, value)
    transport.write(_STATUS, 4, 0)
    if device.when_reset():
        assert transport.read(_STATUS, 4) == 0


def _main_does(transport: VirtioMmioTransport, device: _CheckingDevice, source: ByteSource) -> None:
    match source.number() % 4:
        case 0:
            transport.needs_reset()
        case 1:
            device.config_space = source.take(len(device.config_space)).ljust(len(device.config_space), b"\0")
            transport.config_changed(device.config_space)
        case 2:
            answer = bool(source.number() & 1)
            device.when_reset = lambda: answer
        case _:
            transport.reset()


def dictionary() -> Iterator[bytes]:
    """Statuses, features and addresses as drivers write them."""
    for value in (
        1,
        3,
        11,
        15,
        64,
        128,
        RING_FEATURES & 0xFFFF_FFFF,
        RING_FEATURES >> 32,
        256,
        0x1000,
        0x2000,
    ):
        yield value.to_bytes(4, "little")
        for offset in (0x20, 0x70, 0x38, 0x44, 0x80, 0x90, 0xA0):
            yield _write(offset, value)


def _write(offset: int, value: int) -> bytes:
    return bytes((0x14, _OFFSETS.index(offset))) + value.to_bytes(4, "little")


def _read(offset: int) -> bytes:
    return bytes((0x04, _OFFSETS.index(offset)))


def seeds() -> Iterator[bytes]:
    """Drivers that go live, use their configuration space, and reset."""
    for kind in range(len(KINDS)):
        for is_own in (0, 1):
            negotiated = _write(0x70, 1) + _write(0x70, 3)
            for word in (0, 1):
                negotiated += _write(0x14, word) + _read(0x10)
                negotiated += _write(0x24, word) + _write(0x20, RING_FEATURES >> 32 * word & 0xFFFF_FFFF)
            negotiated += _write(0x70, 11) + _read(0x70)
            queue = _write(0x30, 0) + _write(0x38, 16)
            for register, gpa in ((0x80, 0x1000), (0x90, 0x2000), (0xA0, 0x3000)):
                queue += _write(register, gpa) + _write(register + 4, 0)
            live = bytes((kind, is_own)) + negotiated + queue + _write(0x44, 1) + _write(0x70, 15)
            fields = b"".join(
                bytes((0x90 | code, offset, 0)) + bytes(range(width))
                for code, (offset, width) in enumerate(_WRITABLE)
            )
            reads = b"".join(bytes((0x80 | code, code, 0)) for code in range(8))
            yield live + fields + reads + _write(0x70, 0)
            yield (
                live + b"\x38\x00\x00" + _read(0x70) + b"\x38\x00\x01" + bytes(8) + _write(0x70, 0) + live[2:]
            )
            yield live + b"\x38\x00\x02\x00" + _write(0x70, 0) + _read(0x70) + b"\x38\x00\x03" + _read(0x0C)
            yield bytes((kind, is_own)) + b"".join(_read(offset) for offset in _OFFSETS)
