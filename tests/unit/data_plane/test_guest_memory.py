"""Guest memory as a device process maps it: by its table, no further, and one translation for all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest

from device_procs.data_plane._data_plane import ffi, lib
from ipc.messages import MEMORY_REGIONS_MAX, QUEUES_MAX

PAGE = 4096


@pytest.fixture
def memfd() -> Iterator[int]:
    fd = os.memfd_create("memory")
    os.ftruncate(fd, 8 * PAGE)
    yield fd
    os.close(fd)


@pytest.fixture
def memory() -> Iterator[Any]:
    made = ffi.new("struct guest_memory *")
    lib.guest_memory_init(made)
    yield made
    lib.guest_memory_deinit(made)


def test_limits_are_those_of_the_protocol() -> None:
    assert lib.GUEST_MEMORY_REGIONS_MAX == MEMORY_REGIONS_MAX
    assert lib.BLACK_BOX_QUEUES == QUEUES_MAX
    assert ffi.sizeof("struct black_box") <= lib.BLACK_BOX_BYTES


def test_what_is_written_arrives_at_its_offset(memory: Any, memfd: int) -> None:
    assert lib.guest_memory_map(memory, memfd, 0x10000, PAGE, 2 * PAGE, 1) == 0
    assert lib.guest_memory_map(memory, memfd, 0x20000, PAGE, 5 * PAGE, 1) == 0
    ffi.memmove(lib.guest_memory_at(memory, 0x10010, 3, 1), b"abc", 3)
    ffi.memmove(lib.guest_memory_at(memory, 0x20FFF, 1, 1), b"z", 1)
    assert os.pread(memfd, 3, 2 * PAGE + 0x10) == b"abc"
    assert os.pread(memfd, 1, 6 * PAGE - 1) == b"z"


@pytest.mark.parametrize(
    ("gpa", "length", "found"),
    [
        (0x10000, 0, True),
        (0x10000, PAGE, True),
        (0x10FFF, 1, True),
        (0x11000, 0, True),
        (0x10000, PAGE + 1, False),
        (0x10FFF, 2, False),
        (0x11000, 1, False),
        (0xFFFF, 1, False),
        (0, 1, False),
        ((1 << 64) - 1, 1, False),
        (0x10001, (1 << 64) - 1, False),
    ],
)
def test_translation(memory: Any, memfd: int, gpa: int, length: int, found: bool) -> None:
    assert lib.guest_memory_map(memory, memfd, 0x10000, PAGE, 0, 1) == 0
    assert (lib.guest_memory_at(memory, gpa, length, 1) != ffi.NULL) == found


def test_read_only_memory_is_not_for_writing(memory: Any, memfd: int) -> None:
    assert lib.guest_memory_map(memory, memfd, 0, PAGE, 0, 0) == 0
    assert lib.guest_memory_at(memory, 0, 1, 0) != ffi.NULL
    assert lib.guest_memory_at(memory, 0, 1, 1) == ffi.NULL
    address = int(ffi.cast("uintptr_t", lib.guest_memory_at(memory, 0, 1, 0)))
    with open("/proc/self/maps", encoding="utf-8") as maps:
        (line,) = [line for line in maps if line.startswith(f"{address:x}-")]
    assert line.split()[1] == "r--s"


@pytest.mark.parametrize(
    ("gpa", "size", "offset"),
    [
        (0, 0, 0),
        (0, 9 * PAGE, 0),
        (0, PAGE, 8 * PAGE),
        (0, PAGE, (1 << 64) - PAGE),
        (0, (1 << 64) - PAGE, 0),
        ((1 << 64) - PAGE, 2 * PAGE, 0),
    ],
)
def test_ranges_that_are_refused(memory: Any, memfd: int, gpa: int, size: int, offset: int) -> None:
    assert lib.guest_memory_map(memory, memfd, gpa, size, offset, 1) == -errno.EINVAL
    assert memory.count == 0


def test_an_odd_offset_is_refused_by_the_kernel(memory: Any, memfd: int) -> None:
    assert lib.guest_memory_map(memory, memfd, 0, PAGE, 1, 1) == -errno.EINVAL


@pytest.mark.parametrize(
    ("gpa", "size"), [(0x10000, PAGE), (0x11000, 1), (0xF000, PAGE + 1), (0xF000, 8 * PAGE)]
)
def test_overlaps_are_refused(memory: Any, memfd: int, gpa: int, size: int) -> None:
    assert lib.guest_memory_map(memory, memfd, 0x10000, 2 * PAGE, 0, 1) == 0
    assert lib.guest_memory_map(memory, memfd, gpa, size, 0, 1) == -errno.EEXIST


def test_as_many_regions_as_the_protocol_has(memory: Any, memfd: int) -> None:
    for number in range(MEMORY_REGIONS_MAX):
        assert lib.guest_memory_map(memory, memfd, number << 32, PAGE, 0, 1) == 0
    assert lib.guest_memory_map(memory, memfd, 1 << 40, PAGE, 0, 1) == -errno.ENOSPC
    lib.guest_memory_deinit(memory)
    assert lib.guest_memory_at(memory, 0, 1, 0) == ffi.NULL


def test_a_descriptor_that_is_no_file(memory: Any) -> None:
    assert lib.guest_memory_map(memory, -1, 0, PAGE, 0, 1) == -errno.EBADF
