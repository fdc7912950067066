"""Loads a flat image: it runs where it is put, at 16 MiB, entered like an ELF kernel without a PVH note."""

from __future__ import annotations

from vmm_main.guest_boot.boot_params import enter_with_boot_params, plain_setup_header
from vmm_main.machine.address_map import FLAT_IMAGE_GPA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.boot_file import BootFile
    from vmm_main.guest_boot.boot_request import BootRequest
    from vmm_main.guest_boot.cpu_entry import CpuEntry

# Shorter than anything that prints a byte and stops.
_SHORTEST_BYTES = 8
_SECTOR = 512

# The first file in a folder of kernels that isn't one is usually one of these. Offset, magic, what it is.
_KNOWN_FORMATS = (
    (0x38, b"ARM\x64", "an AArch64 kernel image"),
    (0x38, b"RSC\x05", "a RISC-V kernel image"),
    (0, b"\x1f\x8b", "gzip-compressed"),
    (0, b"\xfd7zXZ\0", "xz-compressed"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed"),
    (0, b"\x02\x21\x4c\x18", "lz4-compressed"),
    (0, b"\x04\x22\x4d\x18", "lz4-compressed"),
    (0, b"BZh", "bzip2-compressed"),
    (0, b"\x5d\0\0", "lzma-compressed"),
    (0, b"\x89LZO\0", "lzo-compressed"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"QFI\xfb", "a qcow2 disk image"),
    (0, b"hsqs", "a squashfs file system"),
    (0, b"070701", "a cpio archive (an initrd?)"),
    (0, b"!<arch>\n", "an ar archive or Debian package"),
    (0x101, b"ustar", "a tar archive"),
    (0, b"MZ", "a PE program without a Linux boot header"),
    (0x1FE, b"\x55\xaa", "a boot sector or disk image without a Linux boot header"),
)
_ASCII_TEXT = bytes(range(0x20, 0x7F)) + b"\t\n\r\f\b\x1b"


def refuse_if_something_else(kernel: BootFile, head: bytes) -> None:
    """Refuses what is certainly no machine code, by its name.

    Any bytes could be a flat image, so this can only say what a file isn't.

    Args:
        kernel: The file.
        head: Its beginning: 4 KiB, or all of it.

    Raises:
        GuestImageError: It is one of the known formats, text, zeros, or too short for a kernel.
    """
    for offset, magic, name in _KNOWN_FORMATS:
        if head[offset : offset + len(magic)] == magic:
            raise kernel.refuse(f"is {name}")
    if _is_text(head):
        raise kernel.refuse("is a text file")
    if len(head) < _SHORTEST_BYTES:
        raise kernel.refuse(f"is too short for a kernel ({len(head)} bytes)")
    if not head[:_SECTOR].strip(b"\0"):
        raise kernel.refuse("begins with nothing but zeros (a disk or file system image?)")


def load_flat_image(request: BootRequest) -> CpuEntry:
    """Loads kernel, initrd, command line and zero page.

    Raises:
        GuestImageError: The kernel or the initrd doesn't fit.
        ConfigurationError: The command line is too long.
    """
    end_gpa = FLAT_IMAGE_GPA + request.kernel.size_bytes
    request.check_fits(FLAT_IMAGE_GPA, end_gpa)
    request.write_command_line()
    request.kernel.load(request.memory, 0, FLAT_IMAGE_GPA, request.kernel.size_bytes)
    initrd_place = request.load_initrd(end_gpa)
    return enter_with_boot_params(request, plain_setup_header(), FLAT_IMAGE_GPA, end_gpa, initrd_place)


def _is_text(head: bytes) -> bool:
    beyond_ascii = head.translate(None, _ASCII_TEXT)
    if not beyond_ascii:
        return True
    if min(beyond_ascii) < 0x80:
        return False
    for cut_off_bytes in range(min(4, len(beyond_ascii))):  # of the last character, by the end of head
        try:
            beyond_ascii[: len(beyond_ascii) - cut_off_bytes].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return True
    return False
