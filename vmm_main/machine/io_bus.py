"""Port and MMIO space: which device answers at which address.

Accesses that nobody answers read as all ones and are dropped when written, as on a PC.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class IoDevice(Protocol):
        """A device behind a range of ports or addresses; called on vCPU threads, must not block."""

        def read(self, offset: int, size: int) -> int:
            """The value of size bytes at offset from the range's start."""

        def write(self, offset: int, size: int, value: int) -> None:
            """Takes value, of size bytes, at offset from the range's start."""


class IoBus:
    """Finds the device of an address; a walk over a handful of ranges."""

    __slots__ = ("_ranges",)

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int, IoDevice]] = []

    def add(self, start: int, size: int, device: IoDevice) -> None:
        """Puts device at [start, start + size).

        Raises:
            ValueError: Something is there already.
        """
        for other_start, other_end, other in self._ranges:
            if start < other_end and other_start < start + size:
                raise ValueError(f"{device!r} at {start:#x} overlaps {other!r} at {other_start:#x}")
        self._ranges.append((start, start + size, device))

    def read(self, address: int, size: int) -> int:
        """What the guest reads: size bytes at address."""
        for start, end, device in self._ranges:
            if start <= address < end:
                return device.read(address - start, size)
        return (1 << 8 * size) - 1

    def write(self, address: int, size: int, value: int) -> None:
        """What the guest writes: value, of size bytes, at address."""
        for start, end, device in self._ranges:
            if start <= address < end:
                device.write(address - start, size, value)
                return
