"""What a driver may ask of virtio-rng (virtio 1.2 §5.4.6): attacks on it are derived from this."""

from __future__ import annotations

from pathlib import Path

from tests.device.hostile_driver.declaration import FILL, DeclaredDevice, Request

LENGTH = 64
SOURCE = "/dev/urandom"


def arguments(_where: Path) -> tuple[str, ...]:
    source = f"rng-random,id=source,filename={SOURCE}"
    return ("-object", source, "-device", "virtio-rng-device,rng=source,id=attacked")


def is_filled(written: int, content: bytes) -> bool:
    """Random bytes as many as it says, and nothing behind them."""
    is_random = content[:written] != bytes([FILL]) * written
    return written == len(content) and is_random


DEVICE = DeclaredDevice(
    arguments=arguments,
    requests={
        "one buffer": Request((), (LENGTH,), is_filled),
        "three buffers": Request((), (LENGTH, 1, LENGTH), is_filled),
    },
    standalone={"urandom": lambda _where: (SOURCE,)},
)
