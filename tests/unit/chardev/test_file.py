"""File chardevs: a new file, a full disk, and descriptors handed over as /dev/fdset."""

from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.unit.chardev.front_end import attach, run_until, settle
from vmm_main.chardev.factory import open_chardev
from vmm_main.errors import ConfigurationError
from vmm_main.fd_sets import FdSets
from vmm_main.vm_config import ChardevConfig, FdSetEntry

if TYPE_CHECKING:
    from pathlib import Path

    from vmm_main.chardev.backend import ChardevBackend
    from vmm_main.event_loop import EventLoop


def open_file(path: str, loop: EventLoop, sets: list[FdSetEntry] | None = None) -> ChardevBackend:
    return open_chardev(ChardevConfig("f0", "file", path=path), loop, FdSets(sets or []))


def test_appends_to_a_new_file(loop: EventLoop, tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    backend = open_file(str(path), loop)
    front_end = attach(backend)
    front_end.send(b"one\n")
    assert path.read_bytes() == b"one\n", "at once"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.truncate(path, 0)  # as logrotate's copytruncate does
    front_end.send(b"two\n")
    assert path.read_bytes() == b"two\n", "appended, not at the old offset"
    assert backend.flush_at_exit(b"three\n", 0) == 6
    backend.close()
    assert path.read_bytes() == b"two\nthree\n"
    assert backend.connected
    assert backend.dropped_bytes == 0


@pytest.mark.parametrize("kind", ["file", "directory", "dangling link"])
def test_must_not_exist(loop: EventLoop, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "there"
    if kind == "file":
        path.write_bytes(b"precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"path=.*there: the file exists; it must not"):
        open_file(str(path), loop)
    assert not (tmp_path / "elsewhere").exists()
    if kind == "file":
        assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("path", ["absent/console.log", "x" * 300])
def test_cannot_be_made(loop: EventLoop, tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigurationError, match="can't make the file"):
        open_file(str(tmp_path / path), loop)


def test_full_disk_costs_the_output_and_nothing_else(loop: EventLoop) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    backend = open_file("/dev/fdset/1", loop, [FdSetEntry(full, 1)])
    front_end = attach(backend)
    front_end.send(b"x" * 1000)
    assert front_end.pending == b""
    front_end.send(b"y" * 10)
    settle(loop)
    assert backend.dropped_bytes == 1010
    backend.close()
    os.close(full)


def test_full_disk_that_has_room_again(loop: EventLoop, tmp_path: Path) -> None:
    """A file-size limit, which the process can lift again, refuses as a full disk does."""
    import resource

    path = tmp_path / "console.log"
    backend = open_file(str(path), loop)
    front_end = attach(backend)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        front_end.send(b"a" * 130)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert backend.dropped_bytes == 30
    front_end.send(b"b" * 5)
    backend.close()
    assert path.read_bytes() == b"a" * 100 + b"b" * 5


def test_pipe_to_a_slow_log_daemon(loop: EventLoop) -> None:
    """libvirt's virtlogd: the pipe is its own too, so its flags stay, and still nobody waits for it."""
    reading, writing = os.pipe()
    flags = fcntl.fcntl(writing, fcntl.F_GETFL)
    backend = open_file("/dev/fdset/7", loop, [FdSetEntry(writing, 7)])
    front_end = attach(backend)
    front_end.send(bytes(range(256)) * 1024)
    assert front_end.pending
    settle(loop)
    assert fcntl.fcntl(writing, fcntl.F_GETFL) == flags
    arrived = bytearray()
    while len(arrived) < 256 * 1024:
        arrived += os.read(reading, 10_000)
        loop.run_once(0)
    assert bytes(arrived) == bytes(range(256)) * 1024
    front_end.send(b"x" * 200_000)
    left = len(front_end.pending)
    os.close(reading)
    run_until(loop, lambda: front_end.pending == b"")
    assert backend.dropped_bytes == left
    backend.close()
    os.close(writing)


def test_descriptor_set_without_writable_member(loop: EventLoop, tmp_path: Path) -> None:
    (tmp_path / "read").touch()
    fd = os.open(tmp_path / "read", os.O_RDONLY)
    with pytest.raises(ConfigurationError, match="open for writing"):
        open_file("/dev/fdset/1", loop, [FdSetEntry(fd, 1)])
    os.close(fd)
