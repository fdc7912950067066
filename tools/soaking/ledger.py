"""What a disk of the soaking guest must hold: the host's half of tests/guest/bare_metal/programs/soak.c."""

from __future__ import annotations

import struct
from collections.abc import Iterator

SECTOR_BYTES = 512
IN_FLIGHT = 4
_WORDS = struct.Struct("<64Q")
_MASK = (1 << 64) - 1
NEVER_WRITTEN = _MASK
BLANK_SECTOR = b"\xff" * SECTOR_BYTES


def sector_bytes(stamp: int, key: int) -> bytes:
    """The sector with a stamp, on the disk whose key is the nonce plus its slot."""
    made = [((stamp + 1) * 0x9E3779B97F4A7C15 + i * 0xBF58476D1CE4E5B9 + key) & _MASK for i in range(64)]
    return _WORDS.pack(stamp, *(word ^ word >> 29 for word in made[1:]))


def losses(image: bytes, key: int, flushed: int) -> Iterator[str]:
    """What is wrong with an image, in words.

    Args:
        image: All of it.
        key: The disk's.
        flushed: Every stamp below was said to be on the medium.
    """
    sectors = len(image) // SECTOR_BYTES
    for sector in range(sectors):
        data = image[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]
        # The last stamp below `flushed` that belongs here, if there was one.
        at_least = flushed - 1 - (flushed - 1 - sector) % sectors if flushed > sector else None
        if data == BLANK_SECTOR:
            if at_least is not None:
                yield f"sector {sector}: stamp {at_least} was flushed, and it is blank"
            continue
        (stamp,) = struct.unpack_from("<Q", data)
        if data != sector_bytes(stamp, key) or stamp % sectors != sector:
            yield f"sector {sector}: no sector that the guest has written (it begins with {stamp:#x})"
        elif at_least is not None and stamp < at_least:
            yield f"sector {sector}: stamp {at_least} was flushed, and it holds the older {stamp}"
