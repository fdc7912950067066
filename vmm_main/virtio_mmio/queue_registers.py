"""One queue as its driver sets it up, and what must be right about it before the device hears of it."""

from __future__ import annotations

from vmm_main.virtio_mmio.virtio_device import VringSetup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DESCRIPTOR_AREA, DRIVER_AREA, DEVICE_AREA = range(3)

# The parts of a split ring (virtio 1.2 §2.7, the table): name, alignment, bytes beside the entries, bytes of
# each of them. The ends of the last two are the event fields, which the table counts whether they are used
# or not.
_PARTS = (("descriptor table", 16, 0, 16), ("available ring", 2, 6, 2), ("used ring", 4, 6, 8))

_LOW_HALF = 0xFFFF_FFFF


class QueueRegisters:
    """QueueNum, the three areas' addresses and QueueReady of one queue."""

    __slots__ = ("_area_gpas", "_num", "num_max", "ready")

    def __init__(self, num_max: int) -> None:
        """num_max is the most entries that the device takes."""
        self.num_max = num_max
        self.reset()

    def reset(self) -> None:
        """As after a reset of the device: nothing set up."""
        self._num = 0
        self._area_gpas = [0, 0, 0]
        self.ready = False

    def write_num(self, num: int) -> None:
        """QueueNum."""
        self._num = num

    def write_area(self, area: int, shift: int, value: int) -> None:
        """32 bits of an area's address, from bit number shift (0 or 32) on."""
        kept = self._area_gpas[area] & ~(_LOW_HALF << shift)
        self._area_gpas[area] = kept | value << shift

    def fault(self, is_ram: Callable[[int, int], bool]) -> str | None:
        """What is wrong with the queue, in words without the guest's numbers; None if it can be used.

        Args:
            is_ram: Whether a range, given by address and length, is all RAM.
        """
        num = self._num
        # §2.7: "Queue Size value is always a power of 2." §4.2.2.2: "The driver MUST write a value to
        # QueueNum which is less than or equal to the value presented by the device in QueueNumMax."
        if num == 0 or num & (num - 1) or num > self.num_max:
            return f"its size isn't a power of two up to {self.num_max}"
        for (name, alignment, fixed_bytes, entry_bytes), gpa in zip(_PARTS, self._area_gpas, strict=True):
            # §2.7: "The driver MUST ensure that the physical address of the first byte of each virtqueue part
            # is a multiple of the specified alignment value in the above table."
            if gpa % alignment:
                return f"its {name} isn't aligned to {alignment} bytes"
            if not is_ram(gpa, fixed_bytes + num * entry_bytes):
                return f"its {name} isn't in RAM"
        return None

    def setup(self, index: int) -> VringSetup:
        """The queue, which is ready and so faultless, as the device is told of it."""
        return VringSetup(index, self._num, *self._area_gpas)
