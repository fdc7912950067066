"""-add-fd and /dev/fdset."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from vmm_main.errors import ConfigurationError
from vmm_main.fd_sets import FdSets
from vmm_main.vm_config import FdSetEntry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[int], int]]:
    descriptors: list[int] = []

    def open_with(flags: int) -> int:
        fd = os.open(tmp_path / "file", flags | os.O_CREAT, 0o600)
        os.set_inheritable(fd, True)
        descriptors.append(fd)
        return fd

    yield open_with
    for fd in descriptors:
        os.close(fd)


def test_finds_the_member_that_is_open_for_the_purpose(opened: Callable[[int], int]) -> None:
    reading, writing, both = opened(os.O_RDONLY), opened(os.O_WRONLY), opened(os.O_RDWR)
    sets = FdSets([FdSetEntry(reading, 1), FdSetEntry(writing, 1), FdSetEntry(both, 22)])
    assert sets.find("/dev/fdset/1", "-kernel") == reading
    assert sets.find("/dev/fdset/1", "-chardev", write=True) == writing
    assert sets.find("/dev/fdset/22", "-kernel") == both
    assert sets.find("/dev/fdset/22", "-chardev", write=True) == both


def test_ordinary_paths_are_not_its_business(opened: Callable[[int], int]) -> None:
    sets = FdSets([FdSetEntry(opened(os.O_RDONLY), 1)])
    for path in (None, "", "/dev/fdset", "/dev/null", "dev/fdset/1", "/tmp/dev/fdset/1"):
        assert sets.find(path, "-kernel") is None


@pytest.mark.parametrize("number", ["2", "", "-1", "+1", " 1", "1/", "x", "0x1", "1.0", "²", "9" * 5000])
def test_no_such_set(opened: Callable[[int], int], number: str) -> None:
    sets = FdSets([FdSetEntry(opened(os.O_RDONLY), 1), FdSetEntry(opened(os.O_RDONLY), 0)])
    with pytest.raises(ConfigurationError) as caught:
        sets.find(f"/dev/fdset/{number}", "-kernel")
    assert str(caught.value).startswith("-kernel: no descriptor set /dev/fdset/")
    assert str(caught.value).endswith("allowed is /dev/fdset/0, /dev/fdset/1")


def test_without_any_set() -> None:
    with pytest.raises(ConfigurationError, match="see -add-fd"):
        FdSets([]).find("/dev/fdset/0", "-initrd")


@pytest.mark.parametrize(
    ("flags", "write", "purpose"), [(os.O_RDONLY, True, "writing"), (os.O_WRONLY, False, "reading")]
)
def test_none_open_for_the_purpose(
    opened: Callable[[int], int], flags: int, write: bool, purpose: str
) -> None:
    sets = FdSets([FdSetEntry(opened(flags), 1)])
    with pytest.raises(ConfigurationError, match=f"open for {purpose}"):
        sets.find("/dev/fdset/1", "-kernel", write=write)


def test_descriptor_that_is_not_open() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)
    with pytest.raises(ConfigurationError, match=f"-add-fd fd={fd},set=3: not an open descriptor"):
        FdSets([FdSetEntry(fd, 3)])


def test_other_programs_do_not_inherit_them(opened: Callable[[int], int]) -> None:
    fd = opened(os.O_RDONLY)
    FdSets([FdSetEntry(fd, 1)])
    assert not os.get_inheritable(fd)
