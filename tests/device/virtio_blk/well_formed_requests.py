"""What a driver may ask of virtio-blk (virtio 1.2 §5.2.6): attacks on it are derived from this.

Each sector of the image holds its own number. READ_SECTOR is read, those from WRITTEN_SECTOR on are written.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tests.device.hostile_driver.declaration import FILL, DeclaredDevice, IsAnswered, Race, Request
from tools.fake_driver.disk_driver import (
    DISCARD,
    FLUSH,
    GET_ID,
    IN,
    IOERR,
    OK,
    OUT,
    SECTOR,
    UNMAP,
    UNSUPP,
    WRITE_ZEROES,
    ranges,
)

SECTORS = 256
READ_SECTOR, WRITTEN_SECTOR, WRITTEN_SECTORS = 3, 40, 8
UINT32_MAX, UINT64_MAX = (1 << 32) - 1, (1 << 64) - 1
_HEADER = struct.Struct("<IIQ")
_SECTOR_AT, _TYPE_AT = 8, 0


def image_of(where: Path) -> Path:
    return where / "attacked-image"


def sector_content(number: int) -> bytes:
    return struct.pack("<Q", number) * (SECTOR // 8)


def arguments(where: Path) -> tuple[str, ...]:
    image = image_of(where)
    image.write_bytes(b"".join(map(sector_content, range(SECTORS))))
    return (
        "-drive",
        f"id=image,file={image}",
        "-device",
        "virtio-blk-device,drive=image,num-queues=2,id=attacked",
    )


def untouched(where: Path) -> bytes:
    """The image but for what is written, with its length."""
    content = bytearray(image_of(where).read_bytes())
    content[WRITTEN_SECTOR * SECTOR : (WRITTEN_SECTOR + WRITTEN_SECTORS) * SECTOR] = b""
    return bytes(content)


def header(kind: int, sector: int = 0) -> bytes:
    return _HEADER.pack(kind, 0, sector)


def ends_with(status: int, data: bytes | None = None) -> IsAnswered:
    """The status in the last byte; before it this data, or nothing if None."""

    def is_answered(written: int, content: bytes) -> bool:
        expected = bytes([FILL]) * (len(content) - 1) if data is None else data
        length = len(content) if data is not None or len(content) == 1 else 0
        return (written, content) == (length, expected + bytes([status]))

    return is_answered


def refused(kind: int, sector: int, out: bytes = b"", room: int = 0, status: int = IOERR) -> Request:
    """One whose contents can't be."""
    return Request((header(kind, sector), out), (*((room,) if room else ()), 1), ends_with(status))


def is_read_or_refused(written: int, content: bytes) -> bool:
    if content[-1] == OK:
        return content == sector_content(READ_SECTOR) + bytes([OK]) and written == SECTOR + 1
    return ends_with(IOERR)(written, content)


def is_any_of_both(_written: int, content: bytes) -> bool:
    """Read or written, or as a type that there isn't."""
    data = (sector_content(WRITTEN_SECTOR), b"W" * SECTOR, bytes([FILL]) * SECTOR)
    return content[-1] in (OK, UNSUPP) and content[:-1] in data


def is_done_or_refused(_written: int, content: bytes) -> bool:
    return content in (bytes([OK]), bytes([IOERR]), bytes([UNSUPP]))


_WRITES = (header(OUT, WRITTEN_SECTOR), b"W" * SECTOR)
_ZEROES = (header(WRITE_ZEROES), ranges((WRITTEN_SECTOR + 1, 1, 0)))
_BOTH = Request((header(IN, WRITTEN_SECTOR), b"W" * SECTOR), (SECTOR, 1), is_any_of_both)

DEVICE = DeclaredDevice(
    arguments=arguments,
    requests={
        "read": Request(
            (header(IN, READ_SECTOR),), (SECTOR, 1), ends_with(OK, sector_content(READ_SECTOR)), 0, 16
        ),
        "write": Request(_WRITES, (1,), ends_with(OK), 0, 16),
        "flush": Request((header(FLUSH),), (1,), ends_with(OK), 0, 16),
        "id": Request((header(GET_ID),), (20, 1), ends_with(OK, bytes(20)), 0, 16),
        "zeroes": Request(_ZEROES, (1,), ends_with(OK), 0, 16),
        "read, by the other queue": Request(
            (header(IN, READ_SECTOR),), (SECTOR, 1), ends_with(OK, sector_content(READ_SECTOR)), 1, 16
        ),
        "no sectors": Request((header(IN, READ_SECTOR),), (1,), ends_with(OK), 0, 16),
    },
    refused={
        "read beyond the end": refused(IN, SECTORS, room=SECTOR),
        "read across the end": refused(IN, SECTORS - 1, room=2 * SECTOR),
        "read at the last number": refused(IN, UINT64_MAX, room=SECTOR),
        "read where the offset wraps": refused(IN, 1 << 55, room=SECTOR),
        "read of a byte": refused(IN, 0, room=1),
        "write beyond the end": refused(OUT, SECTORS, bytes(SECTOR)),
        "write across the end": refused(OUT, SECTORS - 1, bytes(2 * SECTOR)),
        "write at the last number": refused(OUT, UINT64_MAX, bytes(SECTOR)),
        "discard of 2^32-1 sectors": refused(DISCARD, 0, ranges((0, UINT32_MAX, 0))),
        "discard that wraps": refused(DISCARD, 0, ranges((UINT64_MAX, 2, 0))),
        "zeroes of 2^32-1 sectors": refused(WRITE_ZEROES, 0, ranges((WRITTEN_SECTOR, UINT32_MAX, UNMAP))),
        "half a range": refused(DISCARD, 0, ranges((WRITTEN_SECTOR, 1, 0))[:8]),
        "33 ranges": refused(DISCARD, 0, ranges(*[(WRITTEN_SECTOR, 1, 0)] * 33)),
        "unknown flags": refused(WRITE_ZEROES, 0, ranges((WRITTEN_SECTOR, 1, 1 << 31)), status=UNSUPP),
        "unknown type": refused(UINT32_MAX, 0, bytes(SECTOR), SECTOR, UNSUPP),
    },
    races={
        "the sector": Race(
            Request((header(IN, READ_SECTOR),), (SECTOR, 1), is_read_or_refused),
            0, _SECTOR_AT, 8, (READ_SECTOR, SECTORS, UINT64_MAX),
        ),
        "the sector of a write": Race(
            Request(_WRITES, (1,), is_done_or_refused), 0, _SECTOR_AT, 8, (WRITTEN_SECTOR, SECTORS, 1 << 55),
        ),
        "the type": Race(_BOTH, 0, _TYPE_AT, 4, (IN, OUT, UINT32_MAX)),
        "a range's sector": Race(
            Request(_ZEROES, (1,), is_done_or_refused), 1, 0, 8, (WRITTEN_SECTOR, SECTORS, UINT64_MAX),
        ),
        "a range's length": Race(
            Request(_ZEROES, (1,), is_done_or_refused), 1, 8, 4, (0, WRITTEN_SECTORS - 1, UINT32_MAX),
        ),
    },
    standalone={
        "io_uring": lambda where: ("io_uring", "1", str(image_of(where)), str(SECTORS)),
        "bounced": lambda where: ("io_uring", "4096", str(image_of(where)), str(SECTORS)),
        "preadv": lambda where: ("preadv", "1", str(image_of(where)), str(SECTORS)),
    },
    untouched=untouched,
)  # fmt: skip
