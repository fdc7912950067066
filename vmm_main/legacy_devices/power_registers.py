"""The power registers of hardware-reduced ACPI: sleep, reset, and the generic event device's event selector.

Ports and values: vmm_main/machine/address_map.py. The guest learns of them from the FADT and the DSDT.
"""

from __future__ import annotations

import _thread

from vmm_main.machine.address_map import (
    GED_EVENT_POWER_BUTTON,
    GED_EVENT_SELECTOR_PORT,
    GED_EVENT_SLOT_BUS_CHECK,
    POWER_PORT,
    RESET_PORT,
    RESET_VALUE,
    SLEEP_CONTROL_PORT,
    SLEEP_ENABLE,
    SLEEP_STATUS_PORT,
    SLEEP_TYPE_S5,
    SLEEP_TYPE_SHIFT,
    SLOT_PRESENCE_PORT,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SLEEP_CONTROL = SLEEP_CONTROL_PORT - POWER_PORT
_SLEEP_STATUS = SLEEP_STATUS_PORT - POWER_PORT
_RESET = RESET_PORT - POWER_PORT
_EVENT_SELECTOR = GED_EVENT_SELECTOR_PORT - POWER_PORT
_SLOT_PRESENCE = SLOT_PRESENCE_PORT - POWER_PORT
_SLEEP_TYPE_MASK = 0x7


class PowerRegisters:
    """The registers, as the guest's ACPI interpreter drives them.

    The interrupt is an edge: it is raised whenever an event becomes pending, and the guest's _EVT method
    reads (and so clears) all pending events at once.
    """

    __slots__ = (
        "_lock",
        "_on_poweroff",
        "_on_reset",
        "_pending_events",
        "_raise_interrupt",
        "_slots_present",
    )

    def __init__(
        self,
        *,
        on_poweroff: Callable[[], None],
        on_reset: Callable[[], None],
        raise_interrupt: Callable[[], None],
    ) -> None:
        """on_poweroff and on_reset are called on vCPU threads, raise_interrupt on the event loop's."""
        self._on_poweroff = on_poweroff
        self._on_reset = on_reset
        self._raise_interrupt = raise_interrupt
        self._lock = _thread.allocate_lock()  # events come from the event loop and go to a vCPU
        self._pending_events = 0
        self._slots_present = 0

    def reset(self) -> None:
        """A new boot knows nothing of earlier events; the devices in their slots stay."""
        with self._lock:
            self._pending_events = 0

    def press_power_button(self) -> None:
        """Tells the guest that somebody wants it to shut down."""
        self._notify(GED_EVENT_POWER_BUTTON)

    def set_slots_present(self, slots: int) -> None:
        """Which virtio-mmio slots hold a device, one bit each, from power-on."""
        self._slots_present = slots

    def add_slot(self, slot: int) -> None:
        """A slot has come to life: the guest looks at all of them."""
        self._slots_present |= 1 << slot
        self._notify(GED_EVENT_SLOT_BUS_CHECK)

    def read(self, offset: int, size: int) -> int:
        """The registers read by their own width; elsewhere, and by other widths, there is nothing."""
        if offset == _EVENT_SELECTOR and size == 4:
            with self._lock:
                pending, self._pending_events = self._pending_events, 0
            return pending
        if offset == _SLOT_PRESENCE and size == 4:
            return self._slots_present
        if offset in (_SLEEP_CONTROL, _SLEEP_STATUS, _RESET) and size == 1:
            return 0
        return (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        """Power-off and reset; everything else is ignored."""
        if size != 1:
            return
        if offset == _SLEEP_CONTROL and value & SLEEP_ENABLE:
            if value >> SLEEP_TYPE_SHIFT & _SLEEP_TYPE_MASK == SLEEP_TYPE_S5:
                self._on_poweroff()
        elif offset == _RESET and value == RESET_VALUE:
            self._on_reset()

    def _notify(self, event: int) -> None:
        with self._lock:
            self._pending_events |= event
        self._raise_interrupt()
