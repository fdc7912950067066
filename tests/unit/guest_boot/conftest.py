"""Files to boot from and memory to boot into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.guest_boot.fake_memory import MIB, FakeGuestMemory

MakeFile = Callable[[bytes], str]
MakeMemory = Callable[..., FakeGuestMemory]


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """Writes content to a new file and gives its path."""
    made = 0

    def make(content: bytes) -> str:
        nonlocal made
        made += 1
        path = tmp_path / f"image{made}"
        path.write_bytes(content)
        return str(path)

    return make


@pytest.fixture
def make_memory() -> Iterator[MakeMemory]:
    """Makes fake guest memory, 256 MiB unless told otherwise, and unmaps it in the end."""
    made: list[FakeGuestMemory] = []

    def make(size_bytes: int = 256 * MIB, *, dirt: int = 0) -> FakeGuestMemory:
        made.append(FakeGuestMemory(size_bytes, dirt=dirt))
        return made[-1]

    yield make
    for memory in made:
        memory.close()


@pytest.fixture
def memory(make_memory: MakeMemory) -> FakeGuestMemory:
    """256 MiB of clean guest memory."""
    return make_memory()
