"""The kernel loaders: any files load into RAM and nowhere else, or are refused in one line by name."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tests.fuzz.byte_source import ByteSource
from tests.unit.guest_boot.fake_memory import GIB, MIB, FakeGuestMemory
from tests.unit.guest_boot.synthetic_kernels import (
    PATTERN,
    PT_INTERP,
    PT_NOTE,
    Segment,
    bzimage,
    elf,
    pvh_note,
)
from vmm_main.errors import ConfigurationError
from vmm_main.guest_boot.loader import BootImages

_MEMORY_BYTES = (256 * MIB, 16 * MIB, 3 * GIB, 5 * GIB)
_COPIED_AT_MOST = 1 * MIB
_TEXT = 0x100_0000


class _MeasuringMemory(FakeGuestMemory):
    """Notes what is loaded and zeroed, and holds little of it: a header may ask for all there is."""

    def zero(self, gpa: int, length: int) -> None:
        self._offset(gpa, length)
        self.writes.append((gpa, length))

    def load_file(self, fd: int, file_offset: int, gpa: int, length: int) -> int:
        if length <= _COPIED_AT_MOST:
            return super().load_file(fd, file_offset, gpa, length)
        self._offset(gpa, length)
        self.writes.append((gpa, length))
        return min(length, max(0, os.fstat(fd).st_size - file_offset))


class _File:
    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create(name)

    def fill(self, content: bytes, size_bytes: int) -> int:
        """Behind the content there are zeros, up to that size."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, content, 0)
        os.ftruncate(self.fd, max(len(content), size_bytes))
        return self.fd


_kernel, _initrd = _File("kernel"), _File("initrd")


def _size(source: ByteSource) -> int:
    """Mostly that of the content, sometimes one up to 8 GiB."""
    exponent = source.number() % 64
    return 1 << exponent if exponent <= 33 else 0


def run(data: bytes) -> None:
    """Boots: the input is memory size, initrd, command line and kernel."""
    source = ByteSource(data)
    size_bytes = source.choice(_MEMORY_BYTES)
    with_initrd, kernel_size, initrd_size = source.number() & 1, _size(source), _size(source)
    append = source.block().decode("utf-8", "surrogateescape")
    initrd_fd = _initrd.fill(source.block(), initrd_size) if with_initrd else None
    kernel_fd = _kernel.fill(source.rest(), kernel_size)
    memory = _MeasuringMemory(size_bytes)
    try:
        _load_and_check(memory, kernel_fd, initrd_fd, append)
    except ConfigurationError as error:
        text = str(error)
        assert text.isprintable(), ascii(text)
        assert ", allowed: " in text, text
    finally:
        memory.close()


def _load_and_check(memory: _MeasuringMemory, kernel_fd: int, initrd_fd: int | None, append: str) -> None:
    initrd_path = None if initrd_fd is None else "initrd"
    images = BootImages("kernel", initrd_path, kernel_fd=kernel_fd, initrd_fd=initrd_fd)
    try:
        entry = images.load(memory, append, 0xE_0000)
    finally:
        images.close()
    memory.assert_nothing_written_twice()
    for gpa, length in memory.writes:
        assert gpa >= 0x500, hex(gpa)
        assert gpa + length <= 0x9_0000 or gpa >= 0x10_0000, (hex(gpa), hex(length))
    assert any(0x10_0000 <= gpa <= entry.rip < gpa + length for gpa, length in memory.writes), hex(entry.rip)


def _input(kernel: bytes, *, initrd: bytes = b"", append: bytes = b"", memory: int = 0) -> bytes:
    blocks = b"".join(len(block).to_bytes(2, "little") + block for block in (append, initrd))
    # Without an initrd its block isn't there either.
    return bytes((memory, bool(initrd), 63, 63)) + (blocks if initrd else blocks[: 2 + len(append)]) + kernel


def dictionary() -> Iterator[bytes]:
    """Magic numbers, and numbers that headers are damaged with."""
    yield from (b"HdrS", b"\x55\xaa", b"\x7fELF", b"Xen\0", b"\0\0\0\x01", b"\xff" * 8, b"\x7f" + b"\xff" * 7)
    yield from (b"ustar", b"\x1f\x8b", b"hsqs", b"ARM\x64", b"\0\0\x10\0", b"\0\0\0\x80", b"\0\0\0\xc0")


def seeds() -> Iterator[bytes]:
    """Each format, each way in, and what they refuse."""
    text = Segment(_TEXT, PATTERN, memory_bytes=0x3000)
    note = Segment(0, pvh_note(_TEXT + 0x40), kind=PT_NOTE)
    yield _input(bzimage(), initrd=b"initrd", append=b"quiet")
    yield _input(bzimage(relocatable=0, xloadflags=1), initrd=PATTERN, memory=3)
    yield _input(elf(text), append=b"console=ttyS0")
    yield _input(elf(text, Segment(_TEXT + 0x10_0000, PATTERN), note), initrd=b"initrd", memory=2)
    yield _input(elf(text, Segment(0, pvh_note(_TEXT, 4), kind=PT_NOTE, alignment=8)))
    yield _input(elf(Segment(0, b"/lib/ld", kind=PT_INTERP), text))
    yield _input(elf(text, machine=183))
    yield _input(b"\xf4\xeb\xfd\x90" * 64, initrd=b"initrd", append=b"x=y")
    yield _input(bytes(0x101) + b"ustar" + bytes(300))
    yield _input("Grüße, text".encode() * 10)
