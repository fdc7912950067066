"""What a device has counted since the VM's start: its present process's counters, and those of the dead ones.

Processes count in their black boxes, so that nothing has to be asked of them. Main takes the numbers for what
they are: a hostile process can say any, and gets no further than COUNTER_MAX.
"""

from __future__ import annotations

from vmm_main.device_supervisor.black_box import COUNTER_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.device_supervisor.black_box import BlackBox


class DeviceCounters:
    """One device's, by name, all queues together."""

    __slots__ = ("_names", "_of_the_dead", "_queues")

    def __init__(self, names: tuple[str, ...], queues: int) -> None:
        """Takes its module's names, in the order in which each queue has them."""
        self._names = names
        self._queues = queues
        self._of_the_dead = dict.fromkeys(names, 0)

    def add(self, black_box: BlackBox) -> None:
        """Adds those of a process that is dead."""
        self._of_the_dead = self.total(black_box)

    def total(self, black_box: BlackBox | None) -> dict[str, int]:
        """All, with those of the present process, if there is one."""
        found = dict(self._of_the_dead)
        if black_box is not None:
            for index in range(self._queues):
                for place, name in enumerate(self._names):
                    counted = black_box.device_counter(index * len(self._names) + place)
                    found[name] = min(found[name] + counted, COUNTER_MAX)
        return found
