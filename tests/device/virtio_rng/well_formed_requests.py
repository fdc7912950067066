"""What a driver may ask of virtio-rng (virtio 1.2 §5.4.6): attacks on it are derived from this."""

from __future__ import annotations

from pathlib import Path

from device_procs.device_module import DevicePlan
from device_procs.virtio_rng.module import MODULE
from tests.device.hostile_driver.declaration import FILL, DeclaredDevice, Request

LENGTH = 64
SOURCE = "/dev/urandom"


def plan(_where: Path) -> DevicePlan:
    source = {"qom-type": "rng-random", "id": "source", "filename": SOURCE}
    return MODULE.plan({"rng": "source"}, {"source": source})


def is_filled(written: int, content: bytes) -> bool:
    """Random bytes as many as it says, and nothing behind them."""
    is_random = content[:written] != bytes([FILL]) * written
    return written == len(content) and is_random


DEVICE = DeclaredDevice(
    plan=plan,
    requests={
        "one buffer": Request((), (LENGTH,), is_filled),
        "three buffers": Request((), (LENGTH, 1, LENGTH), is_filled),
    },
    standalone={"urandom": lambda _where: (SOURCE,)},
)
