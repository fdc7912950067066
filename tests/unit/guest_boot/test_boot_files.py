"""Files as files: opened once, kept, read again, and refused in one line."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

import pytest

from tests.unit.guest_boot.conftest import MakeFile
from tests.unit.guest_boot.fake_memory import FakeGuestMemory
from tests.unit.guest_boot.synthetic_kernels import PATTERN, Segment, bzimage, elf
from vmm_main.errors import GuestImageError
from vmm_main.guest_boot.loader import BootImages

TEXT = 0x100_0000
KERNELS_ALLOWED = "a bzImage, an ELF kernel for x86-64 or a flat x86-64 image (none of them compressed)"
INITRDS_ALLOWED = "a regular file that isn't empty"


def open_fds() -> set[str]:
    """The numbers of this process's descriptors, without the one that the listing itself needs."""
    return {fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")}


def make_odd_file(folder: Path, kind: str) -> Path:
    path = folder / "odd"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "empty":
        path.touch()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    elif kind == "device":
        return Path("/dev/null")
    elif kind == "loop of links":
        path.symlink_to(path)
    elif kind == "below a file":
        path.touch()
        return path / "below"
    return path


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("missing", "can't be opened (No such file or directory)"),
        ("directory", "is a directory"),
        ("fifo", "is a FIFO"),
        ("empty", "is empty"),
        ("socket", "can't be opened (No such device or address)"),
        ("device", "is a character device"),
        ("loop of links", "can't be opened (Too many levels of symbolic links)"),
        ("below a file", "can't be opened (Not a directory)"),
    ],
)
@pytest.mark.timeout(20)  # opening a FIFO must not wait for its writer
def test_files_that_are_no_files(make_file: MakeFile, tmp_path: Path, kind: str, found: str) -> None:
    path = make_odd_file(tmp_path, kind)
    before = open_fds()
    with pytest.raises(GuestImageError) as caught:
        BootImages(str(path))
    assert str(caught.value) == f"-kernel {path}: {found}, allowed: {KERNELS_ALLOWED}"
    with pytest.raises(GuestImageError) as caught:
        BootImages(make_file(bzimage()), str(path))
    assert str(caught.value) == f"-initrd {path}: {found}, allowed: {INITRDS_ALLOWED}"
    assert open_fds() == before


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch, make_file: MakeFile) -> None:
    """The tests may run as root, whom nothing is forbidden: the refusal is the fake's."""
    path = make_file(bzimage())

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("vmm_main.guest_boot.boot_file.os.open", refuse)
    with pytest.raises(
        GuestImageError, match=r"^-kernel .*: can't be opened \(Permission denied\), allowed: "
    ):
        BootImages(path)


def test_a_path_with_a_nul() -> None:
    with pytest.raises(GuestImageError, match=r"can't be opened \(embedded null byte\)"):
        BootImages("vmlinuz\0")


def test_descriptors_are_kept_and_closed(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    before = open_fds()
    kernel, initrd = make_file(bzimage()), make_file(b"initrd")
    images = BootImages(kernel, initrd)
    kept = open_fds() - before
    assert len(kept) == 2
    for fd in kept:
        assert fcntl.fcntl(int(fd), fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.unlink(kernel)
    os.unlink(initrd)
    for _ in range(3):
        memory.writes.clear()
        images.load(memory, "", 0)
        assert memory.read(TEXT, 256) == PATTERN
    assert open_fds() - before == kept
    images.close()
    images.close()
    assert open_fds() == before


def test_ready_made_descriptors_stay_their_owners(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    kernel_fd = os.open(make_file(bzimage()), os.O_RDONLY)
    initrd_fd = os.open(make_file(b"initrd"), os.O_RDONLY)
    images = BootImages("/dev/fdset/1", "/dev/fdset/2", kernel_fd=kernel_fd, initrd_fd=initrd_fd)
    images.load(memory, "", 0)
    images.close()
    assert os.pread(kernel_fd, 2, 0) == b"MZ"
    os.close(kernel_fd)
    os.close(initrd_fd)


def test_a_ready_made_descriptor_that_cant_be_read(make_file: MakeFile) -> None:
    before = open_fds()
    fd = os.open(make_file(bzimage()), os.O_WRONLY)
    with pytest.raises(
        GuestImageError, match=r"^-kernel /dev/fdset/1: can't be read \(Bad file descriptor\)"
    ):
        BootImages("/dev/fdset/1", kernel_fd=fd)
    os.close(fd)
    with pytest.raises(
        GuestImageError, match=r"^-kernel /dev/fdset/1: can't be opened \(Bad file descriptor\)"
    ):
        BootImages("/dev/fdset/1", kernel_fd=fd)
    assert open_fds() == before


def test_a_kernel_that_shrank_before_a_reboot(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    path = make_file(elf(Segment(TEXT, PATTERN * 100)))
    images = BootImages(path)
    images.load(memory, "", 0)
    os.truncate(path, 1000)
    with pytest.raises(
        GuestImageError, match=r"is truncated \(it has 1000 bytes, its header asks for 25720\)"
    ):
        images.load(memory, "", 0)
    os.truncate(path, 0)
    with pytest.raises(GuestImageError, match="is empty"):
        images.load(memory, "", 0)


def test_an_initrd_that_shrank_before_a_reboot(make_file: MakeFile, memory: FakeGuestMemory) -> None:
    path = make_file(b"initrd")
    images = BootImages(make_file(bzimage()), path)
    os.truncate(path, 0)
    with pytest.raises(GuestImageError, match=rf"^-initrd {path}: is empty"):
        images.load(memory, "", 0)


class ShrinkingMemory(FakeGuestMemory):
    """Truncates the file just before it is read: the moment no check beforehand can cover."""

    path = ""

    def load_file(self, fd: int, file_offset: int, gpa: int, length: int) -> int:
        os.truncate(self.path, file_offset + length - 1)
        return super().load_file(fd, file_offset, gpa, length)


@pytest.mark.parametrize("kernel", [bzimage(), elf(Segment(TEXT, PATTERN)), b"\xfa\xf4\xeb\xfd" * 100])
def test_a_kernel_that_shrinks_while_it_is_loaded(make_file: MakeFile, kernel: bytes) -> None:
    memory = ShrinkingMemory(1 << 28)
    memory.path = make_file(kernel)
    with pytest.raises(
        GuestImageError, match=rf"is truncated \(it has {len(kernel) - 1} bytes, its header asks for"
    ):
        BootImages(memory.path).load(memory, "", 0)


def test_a_host_that_fails_to_read(
    monkeypatch: pytest.MonkeyPatch, make_file: MakeFile, memory: FakeGuestMemory
) -> None:
    images = BootImages(make_file(bzimage()))

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(memory, "load_file", fail)
    with pytest.raises(GuestImageError, match=r"can't be read \(Input/output error\)"):
        images.load(memory, "", 0)
    monkeypatch.setattr("vmm_main.guest_boot.boot_file.os.pread", fail)
    with pytest.raises(GuestImageError, match=r"can't be read \(Input/output error\)"):
        images.load(memory, "", 0)
