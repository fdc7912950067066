"""Blocks that a guest was told to be durable (writing_guest.py logs them), looked for in the image."""

from __future__ import annotations

import hashlib
import subprocess
import time
from pathlib import Path

from tests.linux import writing_guest
from tests.linux.disk_guest import GuestDisk, empty_image
from tests.linux.writing_guest import BLOCK_BYTES, BLOCKS, RECORD_BYTES

SECTOR_BYTES = 512
PROGRESS_DEADLINE_S = 120.0
_POLL_S = 0.01


def program_disk(scratch: Path) -> GuestDisk:
    """A disk whose content is the guest's programme: python takes a block device as a script."""
    source = Path(writing_guest.__file__).read_bytes()
    image = scratch / "program"
    image.write_bytes(source + b"\n" * (-len(source) % SECTOR_BYTES))
    return GuestDisk("program", image, drive=",readonly=on")


class AcknowledgedBlocks:
    """The log of what was acknowledged.

    Attributes:
        disk: The disk that holds it.
    """

    def __init__(self, scratch: Path, writers: int) -> None:
        image = empty_image(scratch / "log", writers * BLOCKS * RECORD_BYTES)
        self.disk = GuestDisk("log", image)
        self._counts = [0] * writers

    def _record(self, writer: int, number: int) -> tuple[int, str]:
        """Which of a writer's acknowledgements was the last of a block, and its sha256; (-1, "") if none."""
        with self.disk.image.open("rb") as file:
            file.seek((writer * BLOCKS + number) * RECORD_BYTES)
            fields = file.read(RECORD_BYTES).rstrip(b"\0").decode().split()
        if not fields:
            return -1, ""
        assert fields[0] == str(writer)
        return int(fields[1]), fields[2]

    def count_of(self, writer: int) -> int:
        """How many of a writer's there are by now."""
        while self._record(writer, self._counts[writer] % BLOCKS)[0] >= self._counts[writer]:
            self._counts[writer] += 1
        return self._counts[writer]

    def count(self) -> int:
        """How many there are by now."""
        return sum(self.count_of(writer) for writer in range(len(self._counts)))

    def wait_for_more(self, more: int) -> None:
        """Waits until the guest was told of so many more."""
        wanted = self.count() + more
        expires = time.monotonic() + PROGRESS_DEADLINE_S
        while self.count() < wanted:
            assert time.monotonic() < expires, f"{self.count()} blocks acknowledged, no more for long"
            time.sleep(_POLL_S)

    def lost(self, writer: int, file: bytes | bytearray) -> list[int]:
        """The numbers of a writer's blocks that aren't in its file as they were when last acknowledged.

        The block that it was about to write again may be old or new.
        """
        count = self.count_of(writer)
        lost = []
        for number in range(min(count, BLOCKS)):
            block = file[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]
            sequence, checksum = self._record(writer, number)
            is_open = count >= BLOCKS and number == count % BLOCKS
            if sequence % BLOCKS != number or (checksum != hashlib.sha256(block).hexdigest() and not is_open):
                lost.append(number)
        return lost


def check_file_system(image: Path) -> None:
    """Fails if the file system on an image needs any repair."""
    checked = subprocess.run(["e2fsck", "-f", "-n", str(image)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "Pass 5" in checked.stdout


def file_in_image(image: Path, name: str, copy: Path) -> bytes:
    """A file's content, read out of an ext4 that nobody mounts."""
    subprocess.run(["debugfs", "-R", f"dump {name} {copy}", str(image)], capture_output=True, check=True)
    return copy.read_bytes()
