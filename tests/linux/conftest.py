"""What the tests of the linux layer start guests with."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.boxed_layers import GUEST_IMAGE_VARIABLE, ROOT_DISK_VARIABLE
from tests.linux.disk_guest import WITHOUT_IO_URING, DiskGuest, GuestDisk
from tests.linux.linux_guest import LinuxGuest
from tools.guest_image.image import GuestImage, guest_image
from tools.root_disk import disk

StartGuest = Callable[..., LinuxGuest]
StartDiskGuest = Callable[..., DiskGuest]


@pytest.fixture(scope="session")
def image() -> GuestImage:
    """The guest's kernel, in three forms, and its initramfs."""
    made = os.environ.get(GUEST_IMAGE_VARIABLE)
    return GuestImage(Path(made)) if made else guest_image()


@pytest.fixture(scope="session")
def root_disk() -> Path:
    """A root disk of Debian, which all tests share: a guest that writes needs a copy."""
    made = os.environ.get(ROOT_DISK_VARIABLE)
    return Path(made) if made else disk.root_disk()


@pytest.fixture(scope="session")
def bulkhead() -> Path:
    """The VMM: the command installed beside this python, or what BULKHEAD_PROGRAM names."""
    return Path(os.environ.get("BULKHEAD_PROGRAM") or Path(sys.executable).parent / "bulkhead")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory for disks' images, where direct I/O works: in the box that is its scratch disk's only."""
    box = Path("/scratch")
    if not box.is_mount():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=box) as directory:
        yield Path(directory)


@pytest.fixture
def start_guest(bulkhead: Path, image: GuestImage, tmp_path: Path) -> Iterator[StartGuest]:
    """Starts guests, which are gone after the test.

    Keywords: cpus, memory_mib, kernel and initrd (paths), append (beside the console), arguments (more of
    them), vmm (another program's command, up to the guest's own options).
    """
    with ExitStack() as stack:
        count = 0

        def start(
            *,
            cpus: int = 1,
            memory_mib: int = 512,
            kernel: Path | None = None,
            initrd: Path | None = None,
            append: str = "quiet",
            arguments: tuple[str, ...] = (),
            vmm: tuple[str, ...] | None = None,
        ) -> LinuxGuest:
            nonlocal count
            count += 1
            directory = tmp_path / f"guest{count}"
            directory.mkdir()
            command = [
                *(vmm or (str(bulkhead), "-machine", "microvm")),
                "-smp",
                str(cpus),
                "-m",
                str(memory_mib),
            ]
            command += ["-kernel", str(kernel or image.bzimage)]
            command += ["-initrd", str(initrd or image.initramfs), *arguments]
            return stack.enter_context(LinuxGuest(command, directory, f"console=ttyS0 {append}".strip()))

        yield start


@pytest.fixture
def start_disk_guest(
    start_guest: StartGuest, bulkhead: Path, image: GuestImage, root_disk: Path
) -> StartDiskGuest:
    """Starts guests with Debian as their read-only root, at its shell: start_disk_guest(disks, cpus=...).

    The other disks follow as /dev/vdb and so on. io_uring=False starts it as on a host that has none; append
    is for the kernel.
    """

    def start(
        disks: Sequence[GuestDisk], *, cpus: int = 2, io_uring: bool = True, append: str = ""
    ) -> DiskGuest:
        root = GuestDisk("root", root_disk, drive=",readonly=on")
        arguments = [word for disk in (root, *disks) for word in disk.arguments()]
        vmm = (*(() if io_uring else WITHOUT_IO_URING), str(bulkhead), "-machine", "microvm")
        guest = start_guest(
            cpus=cpus,
            initrd=image.disk_initramfs,
            append=f"quiet root=/dev/vda ro {append}",
            arguments=tuple(arguments),
            vmm=vmm,
        )
        started = DiskGuest(guest, disks)
        guest.wait_for_shell()
        return started

    return start
