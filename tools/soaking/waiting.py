"""Waiting for what can't be waited for but by looking."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Waits for a condition; whether it came true within the deadline."""
    expires = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > expires:
            return False
        time.sleep(0.01)
    return True
