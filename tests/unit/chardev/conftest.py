"""An event loop for each test, and the check that no descriptor is left open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from vmm_main.event_loop import EventLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(120)


def open_descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the one that listed them
            continue
    return found


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """A loop; nothing that the test's chardevs opened may be left when it closes."""
    before = open_descriptors()
    made = EventLoop()
    yield made
    made.close()
    assert open_descriptors() == before
