"""What a row of the table of attacks is."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.device.hostile_device.hostile_process import HostileProcess

# When an attack begins: as soon as the process is ready; else instead of a message to main, or at one of its.
READY = "ready"
# What the test does to bring it about, once the process is ready.
NOTHING, RUN, METRICS, STOP, RESET = "nothing", "run", "query-device-metrics", "stop", "reset"


class Attack:
    """One thing that a hostile process does, and what must come of it.

    Attributes:
        name: For people, and for the name of the process's kind.
        act: Does it, in the process.
        when: READY, or the name of a message: one of main's, or one that the device is about to send.
        trigger: What the test does to have it happen.
        dies: What the cause of the process's death must be, as a pattern; None of a process that must live,
            and answer when it is asked.
    """

    __slots__ = ("act", "dies", "name", "trigger", "when")

    def __init__(
        self,
        name: str,
        act: Callable[[HostileProcess], object],
        *,
        when: str = READY,
        trigger: str = NOTHING,
        dies: str | None = None,
    ) -> None:
        self.name = name
        self.act = act
        self.when = when
        self.trigger = trigger
        self.dies = dies
