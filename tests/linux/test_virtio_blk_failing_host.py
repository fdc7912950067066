"""A host's disk that is full or fails, an image that was shortened: the guest gets errors, and goes on.

The file systems and the loop device are made here, which takes root: the box has that.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.linux.conftest import StartDiskGuest
from tests.linux.disk_guest import DiskGuest, GuestDisk, digest, empty_image

MIB = 1 << 20
IMAGE_BYTES = 8 * MIB
ROOM_BYTES = 4 * MIB

SmallFileSystem = Callable[[str], Path]


def _host(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def host_cleanup(scratch: Path) -> Iterator[ExitStack]:
    """Undoes what was done to the host, between the guest's end and that of the directory."""
    assert scratch.is_dir()
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def small_file_system(host_cleanup: ExitStack, scratch: Path) -> SmallFileSystem:
    """Makes a file system with room for half an image."""

    def make(name: str) -> Path:
        directory = scratch / name
        directory.mkdir()
        _host("mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(directory))
        host_cleanup.callback(_host, "umount", str(directory))
        return directory

    return make


@pytest.fixture
def failing_device(host_cleanup: ExitStack, small_file_system: SmallFileSystem) -> Path:
    """A block device whose second half can't be written."""
    image = empty_image(small_file_system("behind") / "image", IMAGE_BYTES)
    device = _host("losetup", "--find", "--show", str(image))
    host_cleanup.callback(_host, "losetup", "--detach", device)
    return Path(device)


def _fill(guest: DiskGuest, name: str) -> int:
    """Writes random bytes until the guest's dd is told of an error; returns how many went well."""
    node = guest.nodes[name]
    command = f"LC_ALL=C dd if=/run/pattern of={node} bs=64k oflag=direct"
    answer = guest.guest.console.ask(command, 300)
    assert answer.status == 1, answer.output
    assert f"dd: error writing '{node}': Input/output error" in answer.output
    written = re.search(r"^(\d+) bytes", answer.output, flags=re.MULTILINE)
    assert written is not None
    return int(written[1])


def _head_sum(guest: DiskGuest, path: str, size_bytes: int) -> str:
    return guest.run(f"echo 3 >/proc/sys/vm/drop_caches; head -c {size_bytes} {path} | sha256sum").split()[0]


def _expect_failure(guest: DiskGuest, name: str, what: str, error: int) -> None:
    """The log tells of a failed request, QMP too, and the disk's process lives on."""
    line = rf"{name} says: the host fails a {what} at sector \d+: {os.strerror(error)}"
    assert re.search(line, guest.guest.errors()), guest.guest.errors()
    metrics = guest.metrics(name)
    assert metrics["last_errno"] == error
    assert metrics["failed"] > 0
    answer = guest.guest.monitor().cmd("query-blockstats")
    assert isinstance(answer, list)
    states = {disk["qdev"]: disk["io-status"] for disk in answer}
    assert states[name] == ("nospace" if error == errno.ENOSPC else "failed")
    assert guest.process(name)["restarts"] == 0


def test_full_failing_and_shortened(
    small_file_system: SmallFileSystem,
    failing_device: Path,
    start_disk_guest: StartDiskGuest,
    scratch: Path,
) -> None:
    full = empty_image(small_file_system("full") / "image", IMAGE_BYTES)
    shortened = scratch / "shortened"
    shortened.write_bytes(os.urandom(IMAGE_BYTES))
    guest = start_disk_guest(
        [
            GuestDisk("full", full),
            GuestDisk("failing", failing_device, drive=",direct=on"),
            GuestDisk("shortened", shortened),
        ]
    )
    nodes = guest.nodes
    guest.run("dmesg -n emerg")  # or they are told in the middle of the answers
    guest.run(f"head -c {IMAGE_BYTES} /dev/urandom >/run/pattern")

    # What fitted is there; and all of it, once the host has room.
    written = _fill(guest, "full")
    assert ROOM_BYTES // 2 < written <= ROOM_BYTES
    _expect_failure(guest, "full", "write", errno.ENOSPC)
    assert _head_sum(guest, nodes["full"], written) == digest(full, written)
    assert digest(full, written) == _head_sum(guest, "/run/pattern", written)
    _host("mount", "-o", f"remount,size={4 * IMAGE_BYTES}", str(full.parent))
    guest.run(f"dd if=/run/pattern of={nodes['full']} bs=64k oflag=direct 2>&1")
    assert digest(full) == _head_sum(guest, "/run/pattern", IMAGE_BYTES)

    # A device that fails: its first half still takes what is written.
    written = _fill(guest, "failing")
    assert ROOM_BYTES // 2 < written <= ROOM_BYTES
    _expect_failure(guest, "failing", "write", errno.EIO)
    guest.run(f"dd if=/run/pattern of={nodes['failing']} bs=64k count=4 oflag=direct conv=fdatasync 2>&1")
    assert _head_sum(guest, nodes["failing"], written) == _head_sum(guest, "/run/pattern", written)

    # An image that somebody has shortened: its end can't be read, its beginning can.
    before = digest(shortened, ROOM_BYTES)
    os.truncate(shortened, ROOM_BYTES)
    read = f"dd if={nodes['shortened']} of=/dev/null bs=64k iflag=direct"
    assert guest.status(f"{read} skip={ROOM_BYTES // 65536} count=1") == 1
    _expect_failure(guest, "shortened", "read", errno.EIO)
    assert _head_sum(guest, nodes["shortened"], ROOM_BYTES) == before
    os.truncate(shortened, IMAGE_BYTES)
    guest.run(f"{read} 2>&1")

    assert "I/O error" in guest.errors()
    guest.guest.power_off()
