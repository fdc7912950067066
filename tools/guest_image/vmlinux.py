"""The other forms of a bzImage's kernel: the ELF file in it, and the flat image of that.

Source: Documentation/arch/x86/boot.rst of Linux (setup_sects, payload_offset, payload_length).
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

SETUP_SECTS_OFFSET = 0x1F1
PAYLOAD_OFFSET_OFFSET = 0x248
SECTOR_BYTES = 512
LZ4_LEGACY_MAGIC = b"\x02\x21\x4c\x18"
ELF_MAGIC = b"\x7fELF"


class KernelFormatError(Exception):
    """The kernel isn't packed as Debian packs it, or the tool that unpacks it is missing."""


def payload_of(bzimage: bytes) -> bytes:
    """The compressed kernel in a bzImage, without the four bytes of its uncompressed size at the end.

    Raises:
        KernelFormatError: it isn't compressed with LZ4.
    """
    setup_sectors = bzimage[SETUP_SECTS_OFFSET] or 4
    offset, length = struct.unpack_from("<II", bzimage, PAYLOAD_OFFSET_OFFSET)
    start = (setup_sectors + 1) * SECTOR_BYTES + offset
    payload = bzimage[start : start + length]
    if not payload.startswith(LZ4_LEGACY_MAGIC):
        raise KernelFormatError(f"the kernel's payload begins with {payload[:4].hex()}, not with LZ4's magic")
    return payload[:-4]


def extract_vmlinux(bzimage: Path, vmlinux: Path) -> None:
    """Writes the ELF kernel that is in a bzImage.

    Raises:
        KernelFormatError: there is none, or lz4 is missing.
    """
    content = _run(["lz4", "-d", "-c", "-q"], payload_of(bzimage.read_bytes()))
    if not content.startswith(ELF_MAGIC):
        raise KernelFormatError(f"the kernel's payload unpacks to {content[:4].hex()}, not to an ELF file")
    vmlinux.write_bytes(content)


def flatten(vmlinux: Path, flat: Path) -> None:
    """Writes the flat image of an ELF kernel: its memory from the first loaded address on.

    Raises:
        KernelFormatError: objcopy refuses or is missing.
    """
    _run(["objcopy", "-O", "binary", "-R", ".note", "-R", ".comment", "-S", str(vmlinux), str(flat)], b"")


def _run(command: list[str], given: bytes) -> bytes:
    try:
        ran = subprocess.run(command, input=given, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise KernelFormatError(f"{command[0]} is missing: apt-get install -y lz4 binutils") from error
    if ran.returncode != 0:
        raise KernelFormatError(f"{command[0]} failed: {ran.stderr.decode('utf-8', 'replace').strip()}")
    return ran.stdout
