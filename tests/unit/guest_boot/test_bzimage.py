"""bzImages: what is obeyed of their header, where everything goes, and which are refused."""

from __future__ import annotations

import struct

import pytest

from tests.unit.guest_boot.conftest import MakeFile, MakeMemory
from tests.unit.guest_boot.fake_memory import GIB, MIB, FakeGuestMemory
from tests.unit.guest_boot.synthetic_kernels import PATTERN, bzimage
from vmm_main.errors import ConfigurationError, GuestImageError
from vmm_main.guest_boot.loader import BootImages

BOOT_PARAMS = 0x7000
COMMAND_LINE = 0x2_0000
PREFERRED = 0x100_0000


def test_the_protected_mode_kernel_runs_at_its_preferred_address(
    make_file: MakeFile, memory: FakeGuestMemory
) -> None:
    payload = PATTERN * 20
    images = BootImages(make_file(bzimage(payload=payload, setup_sectors=3)))
    entry = images.load(memory, "", 0)
    images.close()
    assert memory.read(PREFERRED, len(payload)) == payload
    assert (entry.mode, entry.rip, entry.rsi) == ("long64", PREFERRED + 0x200, BOOT_PARAMS)
    memory.assert_nothing_written_twice()


def test_setup_sectors_of_0_mean_4(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    image = bytearray(bzimage(setup_sectors=4))
    image[0x1F1] = 0
    BootImages(make_file(bytes(image))).load(memory, "", 0)
    assert memory.read(PREFERRED, 256) == PATTERN


def test_the_zero_page(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    image = bzimage()
    BootImages(make_file(image)).load(memory, "console=ttyS0 quiet", 0xE_0000)
    page = memory.read(BOOT_PARAMS, 0x1000)
    # The setup header is the file's, but for the fields that are the loader's to write.
    ours = {0x210, *range(0x214, 0x220), *range(0x228, 0x22C)}
    for offset in range(0x1F1, 0x26C):
        assert offset in ours or page[offset] == image[offset], hex(offset)
    assert page[0x210] == 0xFF
    assert struct.unpack_from("<III", page, 0x214) == (PREFERRED, 0, 0)
    assert struct.unpack_from("<I", page, 0x228) == (COMMAND_LINE,)
    assert struct.unpack_from("<Q", page, 0x70) == (0xE_0000,)
    assert page[0x1EF] == 0  # the sentinel: nonzero would say that the page wasn't zeroed
    assert page[0x26C:0x2D0] == bytes(0x2D0 - 0x26C)  # behind the header of this kernel
    assert memory.read(COMMAND_LINE, 20) == b"console=ttyS0 quiet\0"


def e820(memory: FakeGuestMemory) -> list[tuple[int, int, int]]:
    page = memory.read(BOOT_PARAMS, 0x1000)
    return [struct.unpack_from("<QQI", page, 0x2D0 + 20 * index) for index in range(page[0x1E8])]


@pytest.mark.parametrize(
    ("size_bytes", "above_1m"),
    [
        (256 * MIB, [(0x10_0000, 255 * MIB, 1)]),
        (3 * GIB, [(0x10_0000, 3 * GIB - MIB, 1)]),
        (3 * GIB + MIB, [(0x10_0000, 3 * GIB - MIB, 1), (4 * GIB, MIB, 1)]),
        (512 * GIB, [(0x10_0000, 3 * GIB - MIB, 1), (4 * GIB, 509 * GIB, 1)]),
    ],
)
def test_the_memory_map_has_pc_holes(
    make_file: MakeFile, make_memory: MakeMemory, size_bytes: int, above_1m: list[tuple[int, int, int]]
) -> None:
    memory = make_memory(size_bytes)
    BootImages(make_file(bzimage())).load(memory, "", 0)
    assert e820(memory) == [(0, 0x9_FC00, 1), (0x9_FC00, 0x10_0000 - 0x9_FC00, 2), *above_1m]


def ramdisk(memory: FakeGuestMemory) -> tuple[int, int]:
    page = memory.read(BOOT_PARAMS, 0x1000)
    image, size = struct.unpack_from("<II", page, 0x218)
    image_high, size_high = struct.unpack_from("<II", page, 0xC0)
    return image | image_high << 32, size | size_high << 32


@pytest.mark.parametrize(
    ("size_bytes", "initrd_addr_max", "gpa"),
    [
        (256 * MIB, 0x7FFF_FFFF, 256 * MIB - 0x2000),
        (3 * GIB, 0x7FFF_FFFF, 2 * GIB - 0x2000),
        (5 * GIB, 0xFFFF_FFFF, 3 * GIB - 0x2000),
        (256 * MIB, 0x2FF_FFFF, 0x300_0000 - 0x2000),
    ],
)
def test_the_initrd_goes_as_high_as_the_kernel_can_reach(
    make_file: MakeFile, make_memory: MakeMemory, size_bytes: int, initrd_addr_max: int, gpa: int
) -> None:
    memory = make_memory(size_bytes)
    initrd = b"initrd " * 1000
    kernel = make_file(bzimage(initrd_addr_max=initrd_addr_max))
    BootImages(kernel, make_file(initrd)).load(memory, "", 0)
    assert ramdisk(memory) == (gpa, len(initrd))
    assert memory.read(gpa, len(initrd)) == initrd
    memory.assert_nothing_written_twice()


def test_the_initrd_goes_above_4g_only_if_it_must(make_file: MakeFile, make_memory: MakeMemory) -> None:
    memory = make_memory(5 * GIB)
    initrd = PATTERN * 32
    # All the kernel can reach below 4 GiB, but one page, it needs itself.
    BootImages(make_file(bzimage(initrd_addr_max=0x140_0FFF, xloadflags=0x03)), make_file(initrd)).load(
        memory, "", 0
    )
    gpa, size = ramdisk(memory)
    assert (gpa, size) == (6 * GIB - len(initrd), len(initrd))
    assert memory.read(gpa, size) == initrd

    only_low = BootImages(make_file(bzimage(initrd_addr_max=0x140_0FFF, xloadflags=0x01)), make_file(initrd))
    with pytest.raises(GuestImageError, match=r"^-initrd .*: has 8192 bytes, allowed: 1 to 4096 beside"):
        only_low.load(memory, "", 0)


def test_the_initrd_fits_to_the_last_page(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    kernel = make_file(bzimage(initrd_addr_max=0x140_3FFF, xloadflags=1))
    BootImages(kernel, make_file(b"x" * 0x4000)).load(memory, "", 0)
    assert ramdisk(memory) == (0x140_0000, 0x4000)
    with pytest.raises(
        GuestImageError, match=r"has 16385 bytes, allowed: 1 to 16384 beside this kernel in 268435456"
    ):
        BootImages(kernel, make_file(b"x" * 0x4001)).load(memory, "", 0)


def test_command_line_up_to_the_kernels_own_limit(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    images = BootImages(make_file(bzimage(cmdline_size=100)))
    images.load(memory, "x" * 100, 0)
    assert memory.read(COMMAND_LINE, 101) == b"x" * 100 + b"\0"
    with pytest.raises(ConfigurationError) as caught:
        images.load(memory, "x" * 101, 0)
    assert str(caught.value) == (
        "-append: the command line has 101 bytes, allowed: 0 to 100"
        " (this kernel's own limit, from its header)"
    )


def test_the_limit_counts_bytes_not_characters(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    images = BootImages(make_file(bzimage(cmdline_size=3)))
    with pytest.raises(ConfigurationError, match="has 4 bytes, allowed: 0 to 3"):
        images.load(memory, "öö", 0)
    images.load(memory, "\udcff", 0)  # as os.fsdecode spells a byte that is no UTF-8
    assert memory.read(COMMAND_LINE, 2) == b"\xff\0"


def test_a_limit_without_bound_ends_where_the_room_does(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    images = BootImages(make_file(bzimage(cmdline_size=0xFFFF_FFFF)))
    images.load(memory, "x" * (0x7_0000 - 1), 0)
    memory.assert_nothing_written_twice()
    with pytest.raises(ConfigurationError, match=r"allowed: 0 to 458751 \(what there is room for\)"):
        images.load(memory, "x" * 0x7_0000, 0)


def test_a_nul_in_the_command_line_is_refused(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    with pytest.raises(ConfigurationError, match="contains a NUL"):
        BootImages(make_file(bzimage())).load(memory, "a\0b", 0)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"version": 0x020B}, "is a bzImage of boot protocol 2.11, allowed: boot protocol 2.12 or later"),
        ({"version": 0x0105}, "is a bzImage of boot protocol 1.05,"),
        ({"xloadflags": 0}, "is a bzImage without a 64-bit entry point, allowed: a 64-bit kernel"),
        ({"loadflags": 0}, "is a bzImage without a 64-bit entry point"),
        ({"alignment": 0}, "is a damaged bzImage \\(kernel_alignment is 0x0\\)"),
        ({"alignment": 0x30_0000}, "is a damaged bzImage \\(kernel_alignment is 0x300000\\)"),
        ({"header_end": 0x263}, "is a damaged bzImage \\(its setup header ends at 0x263\\)"),
        ({"syssize": 0}, "is truncated"),
        ({"syssize": 0x20}, "is truncated"),
        ({"syssize": 129}, "is truncated \\(it has 3072 bytes, its header asks for 3088\\)"),
        ({"compressed": (0x200, 0x601)}, "is truncated \\(it has 3072 bytes, its header asks for 3073\\)"),
        ({"compressed": (0xFFFF_FFFF, 0xFFFF_FFFF)}, "is truncated"),
        (
            {"init_bytes": 0x1000_0000},
            "needs memory from 0x1000000 to 0x11000000, allowed: 0x100000 to 0x10000000 \\(the latter",
        ),
        ({"preferred_gpa": 0x8_0000, "alignment": 0x1000}, "needs memory from 0x80000 to 0x480000"),
        ({"preferred_gpa": (1 << 64) - 1, "relocatable": 0}, "needs memory from 0xffffffffffffffff"),
        ({"preferred_gpa": (1 << 64) - 1}, "needs memory from 0x10000000000000000"),
    ],
)
def test_what_is_refused(
    make_file: MakeFile, memory: FakeGuestMemory, changes: dict[str, int], complaint: str
) -> None:
    path = make_file(bzimage(**changes))  # type: ignore[arg-type]  # any keyword
    with pytest.raises(GuestImageError, match=f"^-kernel {path}: {complaint}") as caught:
        BootImages(path).load(memory, "", 0)
    assert "\n" not in str(caught.value)
    assert ", allowed: " in str(caught.value)
    assert memory.writes == []


@pytest.mark.parametrize(
    ("preferred_gpa", "relocatable", "loaded_gpa"),
    [(0x110_0000, 1, 0x120_0000), (0x110_0000, 0, 0x110_0000), (0x120_0000, 1, 0x120_0000)],
)
def test_a_relocatable_kernel_is_aligned(
    make_file: MakeFile, memory: FakeGuestMemory, preferred_gpa: int, relocatable: int, loaded_gpa: int
) -> None:
    kernel = make_file(bzimage(preferred_gpa=preferred_gpa, relocatable=relocatable))
    entry = BootImages(kernel).load(memory, "", 0)
    assert entry.rip == loaded_gpa + 0x200
    assert memory.read(loaded_gpa, 256) == PATTERN


@pytest.mark.parametrize("length", [0x206, 0x263])
def test_a_file_that_ends_inside_its_header(
    make_file: MakeFile, memory: FakeGuestMemory, length: int
) -> None:
    with pytest.raises(
        GuestImageError, match=rf"is truncated \(it has {length} bytes, its header asks for 612\)"
    ):
        BootImages(make_file(bzimage()[:length])).load(memory, "", 0)


def test_what_follows_the_kernel_isnt_loaded(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    payload = PATTERN * 4
    BootImages(make_file(bzimage(payload=payload) + b"signature" * 100)).load(memory, "", 0)
    assert memory.read(PREFERRED + len(payload), 16) == bytes(16)


def test_the_identity_map_covers_what_the_kernel_needs(make_file: MakeFile, make_memory: MakeMemory) -> None:
    memory = make_memory(3 * GIB)
    BootImages(make_file(bzimage(init_bytes=0x5000_0000))).load(memory, "", 0)
    directories = struct.unpack("<512Q", memory.read(0xB000, 0x1000))
    assert sum(1 for entry in directories if entry) == 2  # 16 MiB + 1.25 GiB: two directories of 1 GiB
