"""Hostile images: whatever is in a file, it loads or is refused by name, and nothing goes astray.

The fake memory raises ValueError for what isn't RAM, which the tests don't accept; "nothing astray" is that
nothing is written twice and nothing below 1 MiB but the parts meant to be there.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.guest_boot.fake_memory import GIB, MIB, FakeGuestMemory
from tests.unit.guest_boot.synthetic_kernels import PATTERN, PT_NOTE, Segment, bzimage, elf, pvh_note
from vmm_main.errors import ConfigurationError, GuestImageError
from vmm_main.guest_boot.loader import BootImages

TEXT = 0x100_0000
SIZES = st.sampled_from([256 * MIB, 3 * GIB, 5 * GIB])

GOOD_BZIMAGE = bzimage()
GOOD_PVH = elf(
    Segment(TEXT, PATTERN, memory_bytes=0x3000),
    Segment(TEXT + 0x10_0000, PATTERN),
    Segment(0, pvh_note(TEXT + 0x40), kind=PT_NOTE),
)
GOOD_ELF = elf(Segment(TEXT, PATTERN, memory_bytes=0x3000))


class FileInMemory:
    """One file whose content is replaced for every example."""

    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create(name)

    def fill(self, content: bytes) -> int:
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, content, 0)
        return self.fd


KERNEL = FileInMemory("kernel")
INITRD = FileInMemory("initrd")


def load_and_check(kernel: bytes, *, size_bytes: int, initrd: bytes = b"", append: str = "") -> bool:
    """Loads the images; True if they were accepted. Anything but a clean refusal propagates."""
    memory = FakeGuestMemory(size_bytes)
    try:
        images = BootImages(
            "kernel",
            "initrd" if initrd else None,
            kernel_fd=KERNEL.fill(kernel),
            initrd_fd=INITRD.fill(initrd) if initrd else None,
        )
        try:
            entry = images.load(memory, append, 0xE_0000)
        finally:
            images.close()
    except GuestImageError as error:
        message = str(error)
        if "\n" in message or ", allowed: " not in message:
            raise
        return False
    else:
        memory.assert_nothing_written_twice()
        for gpa, length in memory.writes:
            assert gpa >= 0x500
            assert gpa + length <= 0x9_0000 or gpa >= 0x10_0000
        assert any(0x10_0000 <= gpa <= entry.rip < gpa + length for gpa, length in memory.writes)
        return True
    finally:
        memory.close()


def test_the_images_the_mutations_start_from_are_good() -> None:
    for kernel in (GOOD_BZIMAGE, GOOD_PVH, GOOD_ELF):
        assert load_and_check(kernel, size_bytes=256 * MIB, initrd=b"initrd", append="quiet")


@settings(deadline=None)
@given(kernel=st.binary(min_size=1, max_size=5000), size_bytes=SIZES)
def test_random_bytes(kernel: bytes, size_bytes: int) -> None:
    load_and_check(kernel, size_bytes=size_bytes)


def mutated(good: bytes, header_bytes: int) -> st.SearchStrategy[bytes]:
    """The image with up to 6 overwritten places of 1 to 8 bytes in its headers, perhaps cut short."""
    interesting = st.sampled_from(
        [b"\0", b"\xff", b"\x7f", b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7, b"\0\0\0\x01"]
    )
    places = st.lists(
        st.tuples(st.integers(0, header_bytes - 1), interesting | st.binary(min_size=1, max_size=8)),
        max_size=6,
    )

    def apply(changes: list[tuple[int, bytes]], length: int) -> bytes:
        image = bytearray(good)
        for offset, value in changes:
            image[offset : offset + len(value)] = value
        return bytes(image[:length])

    lengths = st.just(len(good) + 8) | st.integers(1, len(good))
    return st.builds(apply, places, lengths)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    kernel=mutated(GOOD_BZIMAGE, 0x270) | mutated(GOOD_PVH, 64 + 3 * 56) | mutated(GOOD_ELF, 64 + 56),
    size_bytes=SIZES,
    initrd=st.sampled_from([b"", b"initrd", PATTERN * 100]),
)
@example(kernel=GOOD_PVH, size_bytes=5 * GIB, initrd=b"initrd")
def test_mutated_headers(kernel: bytes, size_bytes: int, initrd: bytes) -> None:
    load_and_check(kernel, size_bytes=size_bytes, initrd=initrd)


@settings(deadline=None, max_examples=200)
@given(
    preferred_gpa=st.integers(0, 0x2000_0000) | st.integers(0, (1 << 64) - 1),
    alignment=st.sampled_from([1, 0x1000, 0x20_0000, 1 << 30]),
    relocatable=st.sampled_from([0, 1]),
    init_bytes=st.integers(0, (1 << 32) - 1),
    initrd_addr_max=st.integers(0, (1 << 32) - 1),
    above_4g=st.sampled_from([1, 3]),
    initrd_bytes=st.integers(1, 64 << 10),
    size_bytes=SIZES,
)
def test_every_plausible_bzimage_header(
    *,
    preferred_gpa: int,
    alignment: int,
    relocatable: int,
    init_bytes: int,
    initrd_addr_max: int,
    above_4g: int,
    initrd_bytes: int,
    size_bytes: int,
) -> None:
    kernel = bzimage(
        preferred_gpa=preferred_gpa,
        alignment=alignment,
        relocatable=relocatable,
        init_bytes=init_bytes,
        initrd_addr_max=initrd_addr_max,
        xloadflags=above_4g,
    )
    load_and_check(kernel, size_bytes=size_bytes, initrd=bytes(initrd_bytes))


SEGMENTS = st.builds(
    Segment,
    st.integers(0x10_0000, 0x12_0000) | st.integers(0, (1 << 64) - 1),
    st.binary(max_size=300),
    memory_bytes=st.none() | st.integers(0, 0x3000) | st.integers(0, (1 << 64) - 1),
    kind=st.sampled_from([1, 1, 1, 4, 6]),
    alignment=st.sampled_from([0, 4, 8, 0x1000]),
)


@settings(deadline=None, max_examples=300)
@given(
    segments=st.lists(SEGMENTS, max_size=4),
    entry_gpa=st.integers(0x10_0000, 0x12_0000),
    size_bytes=SIZES,
)
def test_every_plausible_elf(segments: list[Segment], entry_gpa: int, size_bytes: int) -> None:
    load_and_check(elf(*segments, entry_gpa=entry_gpa), size_bytes=size_bytes)


@settings(deadline=None)
@given(notes=st.binary(max_size=300) | st.binary(max_size=100).map(lambda junk: junk + pvh_note(TEXT)))
def test_every_note_segment(notes: bytes) -> None:
    load_and_check(elf(Segment(TEXT, PATTERN), Segment(0, notes, kind=PT_NOTE)), size_bytes=256 * MIB)


@settings(deadline=None)
@given(append=st.text(max_size=3000))
def test_every_command_line(append: str) -> None:
    length = len(append.encode("utf-8", "surrogateescape")) if "\0" not in append else -1
    if 0 <= length <= 2047:
        assert load_and_check(GOOD_BZIMAGE, size_bytes=256 * MIB, append=append)
    else:
        with pytest.raises(ConfigurationError, match=r"^-append: .*, allowed: "):
            load_and_check(GOOD_BZIMAGE, size_bytes=256 * MIB, append=append)
