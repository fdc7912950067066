"""Flat images, and everything that could be taken for one but is something else."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile

import pytest

from tests.unit.guest_boot.conftest import MakeFile, MakeMemory
from tests.unit.guest_boot.fake_memory import MIB, FakeGuestMemory
from vmm_main.errors import GuestImageError
from vmm_main.guest_boot.loader import BootImages

# mov $0x3f8, %edx; mov $'A', %al; out %al, (%dx); hlt; jmp to the hlt
PRINTS_A = bytes.fromhex("ba f8030000 b0 41 ee f4 eb fd")
FLAT_GPA = 16 * MIB


@pytest.mark.parametrize("image", [PRINTS_A, PRINTS_A + bytes(5000), bytes(range(1, 256)) * 100])
def test_a_flat_image_runs_at_16_mib(make_file: MakeFile, memory: FakeGuestMemory, image: bytes) -> None:
    initrd = b"initrd"
    entry = BootImages(make_file(image), make_file(initrd)).load(memory, "quiet", 0xE_0000)
    assert (entry.mode, entry.rip, entry.rsi) == ("long64", FLAT_GPA, 0x7000)
    assert memory.read(FLAT_GPA, len(image)) == image
    page = memory.read(0x7000, 0x1000)
    assert struct.unpack_from("<II", page, 0x218) == (256 * MIB - 0x1000, len(initrd))
    assert memory.read(0x2_0000, 6) == b"quiet\0"
    memory.assert_nothing_written_twice()


def test_it_must_fit(make_file: MakeFile, make_memory: MakeMemory) -> None:
    image = PRINTS_A + bytes(MIB)
    with pytest.raises(
        GuestImageError, match="needs memory from 0x1000000 to 0x110000b, allowed: 0x100000 to 0x1100000"
    ):
        BootImages(make_file(image)).load(make_memory(17 * MIB), "", 0)
    BootImages(make_file(image[:MIB])).load(make_memory(17 * MIB), "", 0)


def zip_archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("vmlinux", PRINTS_A)
    return content.getvalue()


def tar_archive() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("vmlinux"))
    return content.getvalue()


def with_magic(offset: int, magic: bytes) -> bytes:
    image = bytearray(PRINTS_A * 200)
    image[offset : offset + len(magic)] = magic
    return bytes(image)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (with_magic(0x38, b"ARM\x64"), "is an AArch64 kernel image"),
        (with_magic(0x38, b"RSC\x05"), "is a RISC-V kernel image"),
        (gzip.compress(PRINTS_A), "is gzip-compressed"),
        (lzma.compress(PRINTS_A), "is xz-compressed"),
        (lzma.compress(PRINTS_A, lzma.FORMAT_ALONE), "is lzma-compressed"),
        (bz2.compress(PRINTS_A), "is bzip2-compressed"),
        (b"\x28\xb5\x2f\xfd" + PRINTS_A, "is zstd-compressed"),
        (b"\x02\x21\x4c\x18" + PRINTS_A, "is lz4-compressed"),
        (b"\x04\x22\x4d\x18" + PRINTS_A, "is lz4-compressed"),
        (b"\x89LZO\0" + PRINTS_A, "is lzo-compressed"),
        (zip_archive(), "is a zip archive"),
        (tar_archive(), "is a tar archive"),
        (b"QFI\xfb" + PRINTS_A, "is a qcow2 disk image"),
        (b"hsqs" + PRINTS_A, "is a squashfs file system"),
        (b"070701" + PRINTS_A, "is a cpio archive"),
        (b"!<arch>\ndebian-binary", "is an ar archive or Debian package"),
        (b"MZ" + PRINTS_A * 200, "is a PE program without a Linux boot header"),
        (with_magic(0x1FE, b"\x55\xaa"), "is a boot sector or disk image without a Linux boot header"),
        (b"\n", "is a text file"),
        (b"#!/bin/sh\nexec true\n", "is a text file"),
        ("Größe: ∞\n".encode(), "is a text file"),
        (("é" * 4000).encode(), "is a text file"),
        (("x" + "é" * 4000).encode(), "is a text file"),
        (b"\x1b[31mred\x1b[0m\r\n", "is a text file"),
        (b"\xf4", "is too short for a kernel (1 bytes)"),
        (PRINTS_A[:7], "is too short for a kernel (7 bytes)"),
        (bytes(100), "begins with nothing but zeros (a disk or file system image?)"),
        (bytes(1024) + b"superblock", "begins with nothing but zeros"),
        (b"", "is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_something_else(
    make_file: MakeFile, memory: FakeGuestMemory, content: bytes, found: str
) -> None:
    path = make_file(content)
    with pytest.raises(GuestImageError) as caught:
        BootImages(path).load(memory, "", 0)
    message = str(caught.value)
    assert message.startswith(f"-kernel {path}: {found}")
    assert message.endswith(
        ", allowed: a bzImage, an ELF kernel for x86-64 or a flat x86-64 image (none of them compressed)"
    )
    assert "\n" not in message
    assert memory.writes == []


def test_machine_code_with_high_bytes_isnt_text(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    """0xf4 and the like are no UTF-8, even where nothing is below 0x20."""
    BootImages(make_file(b"\xf4\xeb\xfd\xf4\xeb\xfd\xf4\xeb\xfd")).load(memory, "", 0)
