"""What main would make of a device that nobody attacks: of each registered kind, by its own tests' words.

The command line is that of tests/device/KIND/well_formed_requests.py, which every kind has.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.device.hostile_driver.declaration import declared
from vmm_main.device_supervisor.openers import open_resource
from vmm_main.fd_sets import FdSets


@dataclass(frozen=True)
class SoundDevice:
    """One device, as CONFIGURE describes it.

    Attributes:
        config: With what main finds out about the device's resources when it opens them.
        backends: How many resources it has.
        queues: How many queues.
    """

    config: dict[str, Any]
    backends: int
    queues: int


@cache
def sound_device(kind: str) -> SoundDevice:
    """The one of a registered kind."""
    with tempfile.TemporaryDirectory() as where:
        plan = declared(kind).plan(Path(where))
        config = dict(plan.config)
        for resource in plan.resources:
            opened = open_resource(resource, FdSets([]))
            os.close(opened.fd)
            config |= opened.facts
    return SoundDevice(config, len(plan.resources), len(plan.queue_sizes))
