r"""A small encoder for AML, the byte code of ACPI's definition blocks (ACPI 6.4 chapter 20).

Each function returns the bytes of one term, so that a definition block reads here as it would in ASL::

    device("COM1", name("_HID", eisa_id("PNP0501")), name("_UID", integer(1)))

Names are paths as ASL writes them ("\_SB.GED", "^PWRB", "_CRS"); segments shorter than four characters are
padded with underscores. Operands may be any term that yields a value: integer(), path(), LOCAL0, ...
"""

from __future__ import annotations

import _struct as struct

# Values that need no encoder (§20.2.6).
ARG0 = b"\x68"
LOCAL0 = b"\x60"

# Address spaces of an operation region (§19.6.100) and of a generic address structure (§5.2.3.2).
SYSTEM_IO = 1

# Access types and update rules of a field (§20.2.5.2).
ACCESS_DWORD = 3
UPDATE_PRESERVE = 0 << 5
UPDATE_WRITE_AS_ZEROS = 2 << 5


def path(name: str) -> bytes:
    """A NameString (§20.2.2); as an operand, the value of the object it names."""
    encoded = name.encode("ascii")
    if len(encoded) == 4 and b"." not in encoded and encoded[0] not in b"\\^":
        return encoded
    relative = encoded.lstrip(b"\\^")
    prefix = encoded[: len(encoded) - len(relative)]
    segments = [segment.ljust(4, b"_") for segment in relative.split(b".")]
    if len(segments) == 1:
        return prefix + segments[0]
    lead = b"\x2e" if len(segments) == 2 else bytes((0x2F, len(segments)))
    return prefix + lead + b"".join(segments)


def package_length(content_bytes: int) -> bytes:
    """A PkgLength (§20.2.4) for content of so many bytes; it counts itself.

    Raises:
        ValueError: The content is longer than the encoding can say, 2^28 bytes.
    """
    total = content_bytes + 1
    if total < 1 << 6:
        return bytes((total,))
    for following_bytes in (1, 2, 3):
        total = content_bytes + 1 + following_bytes
        if total < 1 << (4 + 8 * following_bytes):
            head = following_bytes << 6 | total & 0xF
            return bytes((head,)) + (total >> 4).to_bytes(following_bytes, "little")
    raise ValueError(f"AML package of {content_bytes} bytes")


def integer(value: int) -> bytes:
    """The shortest encoding of an unsigned integer of up to 64 bits (§20.2.3)."""
    if value <= 1:
        return b"\x01" if value else b"\x00"
    if value <= 0xFF:
        return bytes((0x0A, value))
    if value <= 0xFFFF:
        return struct.pack("<BH", 0x0B, value)
    if value <= 0xFFFF_FFFF:
        return struct.pack("<BI", 0x0C, value)
    return struct.pack("<BQ", 0x0E, value)


def string(value: str) -> bytes:
    """A String of ASCII characters without NUL."""
    return b"\x0d" + value.encode("ascii") + b"\0"


def eisa_id(value: str) -> bytes:
    """A compressed EISA id, "PNP0501" (§19.3.4): three letters of 5 bits, four hexadecimal digits."""
    letters = 0
    for letter in value[:3]:
        letters = letters << 5 | ord(letter) - 0x40
    return b"\x0c" + (letters << 16 | int(value[3:], 16)).to_bytes(4, "big")


def buffer(content: bytes) -> bytes:
    """A Buffer with this content."""
    size = integer(len(content))
    return b"\x11" + package_length(len(size) + len(content)) + size + content


def package(*elements: bytes) -> bytes:
    """A Package of up to 255 elements."""
    content = b"".join(elements)
    return b"\x12" + package_length(1 + len(content)) + bytes((len(elements),)) + content


def name(object_name: str, value: bytes) -> bytes:
    """Name (object_name, value)."""
    return b"\x08" + path(object_name) + value


def scope(object_name: str, *terms: bytes) -> bytes:
    """Scope (object_name) { terms }."""
    return _with_length(b"\x10", path(object_name), terms)


def device(object_name: str, *terms: bytes) -> bytes:
    """Device (object_name) { terms }."""
    return _with_length(b"\x5b\x82", path(object_name), terms)


def method(object_name: str, arguments: int, *terms: bytes, serialized: bool = False) -> bytes:
    """Method (object_name, arguments, [Not]Serialized) { terms }; arguments is 0 to 7."""
    flags = arguments | serialized << 3
    return _with_length(b"\x14", path(object_name) + bytes((flags,)), terms)


def operation_region(object_name: str, space: int, offset: int, length: int) -> bytes:
    """OperationRegion (object_name, space, offset, length)."""
    return b"\x5b\x80" + path(object_name) + bytes((space,)) + integer(offset) + integer(length)


def field(region: str, flags: int, *units: tuple[str, int]) -> bytes:
    """Field (region, access and update flags, NoLock) { name, bits, ... }; up to 63 bits per unit."""
    content = b"".join([path(unit) + bytes((bits,)) for unit, bits in units])
    return _with_length(b"\x5b\x81", path(region) + bytes((flags,)), (content,))


def if_(condition: bytes, *terms: bytes) -> bytes:
    """If (condition) { terms }."""
    return _with_length(b"\xa0", condition, terms)


def return_(value: bytes) -> bytes:
    """Return (value)."""
    return b"\xa4" + value


def store(value: bytes, target: bytes) -> bytes:
    """Stores value to target."""
    return b"\x70" + value + target


def and_(left: bytes, right: bytes) -> bytes:
    """And (left, right), the result kept nowhere else."""
    return b"\x7b" + left + right + b"\0"


def shift_left(value: bytes, count: bytes) -> bytes:
    """ShiftLeft (value, count), the result kept nowhere else."""
    return b"\x79" + value + count + b"\0"


def call(method_name: str, *arguments: bytes) -> bytes:
    """Calls a method, which must be known to take so many arguments."""
    return path(method_name) + b"".join(arguments)


def notify(object_name: str, value: int) -> bytes:
    """Notify (object_name, value)."""
    return b"\x86" + path(object_name) + integer(value)


def resource_template(*descriptors: bytes) -> bytes:
    """ResourceTemplate () { descriptors }, with an end tag whose checksum is left out (§6.4.2.9)."""
    return buffer(b"".join(descriptors) + b"\x79\0")


def io_ports(first: int, count: int) -> bytes:
    """IO (Decode16, first, first, 1, count) (§6.4.2.5)."""
    return struct.pack("<BBHHBB", 0x47, 1, first, first, 1, count)


def memory32_fixed(address: int, length: int) -> bytes:
    """Memory32Fixed (ReadWrite, address, length) (§6.4.3.4)."""
    return struct.pack("<BHBII", 0x86, 9, 1, address, length)


def edge_interrupt(gsi: int) -> bytes:
    """Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { gsi } (§6.4.3.6)."""
    return struct.pack("<BHBBI", 0x89, 6, 0b0011, 1, gsi)


def _with_length(opcode: bytes, head: bytes, terms: tuple[bytes, ...]) -> bytes:
    content = head + b"".join(terms)
    return opcode + package_length(len(content)) + content
