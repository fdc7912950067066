"""The linux layer's checker of acknowledged blocks finds what is there, and what isn't."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.linux import acknowledged_blocks, writing_guest
from tests.linux.acknowledged_blocks import AcknowledgedBlocks

BLOCKS = 8
BLOCK_BYTES = writing_guest.BLOCK_BYTES


@pytest.fixture(autouse=True)
def small_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a writer comes round soon."""
    for module in (acknowledged_blocks, writing_guest):
        monkeypatch.setattr(module, "BLOCKS", BLOCKS)
    monkeypatch.setattr(writing_guest, "STOP", str(tmp_path / "stop"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[int], tuple[AcknowledgedBlocks, bytearray]]:
    """Has the guest's programme write two files here, so many blocks each; returns the log and the second."""

    def run(at_least: int) -> tuple[AcknowledgedBlocks, bytearray]:
        blocks = AcknowledgedBlocks(tmp_path, 2)
        files = [tmp_path / "first", tmp_path / "second"]
        arguments = [str(blocks.disk.image), *map(str, files)]
        statuses: list[int] = []
        writing = threading.Thread(target=lambda: statuses.append(writing_guest.main(arguments)))
        writing.start()
        while min(blocks.count_of(0), blocks.count_of(1)) < at_least:
            blocks.wait_for_more(1)
        (tmp_path / "stop").touch()
        writing.join()
        assert statuses == [0]
        assert blocks.lost(0, files[0].read_bytes()) == []
        return blocks, bytearray(files[1].read_bytes())

    return run


Write = Callable[[int], tuple[AcknowledgedBlocks, bytearray]]


@pytest.mark.parametrize("at_least", [3, 2 * BLOCKS])
def test_all_is_there(write: Write, at_least: int) -> None:
    blocks, second = write(at_least)
    assert blocks.lost(1, second) == []
    assert blocks.count() >= 2 * at_least


def test_blocks_that_were_lost(write: Write) -> None:
    blocks, second = write(2 * BLOCKS)
    open_one = blocks.count_of(1) % BLOCKS
    wrong = [number for number in range(BLOCKS) if number != open_one][1:3]
    second[wrong[0] * BLOCK_BYTES + 5] ^= 1
    second[wrong[1] * BLOCK_BYTES : (wrong[1] + 1) * BLOCK_BYTES] = os.urandom(BLOCK_BYTES)
    assert blocks.lost(1, second) == wrong
    # An older content of the block that was to be written next may be there; no other's may.
    second[open_one * BLOCK_BYTES] ^= 1
    assert blocks.lost(1, second) == wrong


def test_a_file_that_ends_too_early(write: Write) -> None:
    blocks, second = write(3)
    count = blocks.count_of(1)
    open_one = count % BLOCKS
    expected = [number for number in range(2, min(count, BLOCKS)) if number != open_one]
    assert blocks.lost(1, second[: 2 * BLOCK_BYTES]) == expected != []
