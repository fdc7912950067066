"""Deadlines from the environment: BULKHEAD_DEADLINES=beat_s=0.1,hang_s=1, by the names in deadlines.py."""

from __future__ import annotations

from vmm_main.device_supervisor.deadlines import Deadlines
from vmm_main.errors import ConfigurationError

LOWEST_S, HIGHEST_S = 0.001, 86400.0


def told_deadlines(text: bytes) -> Deadlines:
    """The deadlines that are told, and the others as they are.

    Raises:
        ConfigurationError: A name or a number isn't one.
    """
    deadlines = Deadlines()
    for setting in text.decode("utf-8", "replace").split(","):
        name, _, value = setting.partition("=")
        if name not in Deadlines.__slots__:
            known = ", ".join(sorted(Deadlines.__slots__))
            raise ConfigurationError(f"BULKHEAD_DEADLINES: {name!a} isn't a deadline; there are {known}")
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not LOWEST_S <= seconds <= HIGHEST_S:
            raise ConfigurationError(
                f"BULKHEAD_DEADLINES: {name}={ascii(value)[1:-1]}: allowed are {LOWEST_S:g} to "
                f"{HIGHEST_S:g} seconds"
            )
        setattr(deadlines, name, seconds)
    return deadlines
