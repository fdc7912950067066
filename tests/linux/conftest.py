"""What the tests of the linux layer start guests with."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.boxed_layers import GUEST_IMAGE_VARIABLE, ROOT_DISK_VARIABLE
from tests.linux.linux_guest import LinuxGuest
from tools.guest_image.image import GuestImage, guest_image
from tools.root_disk import disk

StartGuest = Callable[..., LinuxGuest]


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
def start_guest(bulkhead: Path, image: GuestImage, tmp_path: Path) -> Iterator[StartGuest]:
    """Starts guests, which are gone after the test.

    Keywords: cpus, memory_mib, kernel (a path), append (beside the console), arguments (more of them),
    vmm (another program's command, up to the guest's own options).
    """
    with ExitStack() as stack:
        count = 0

        def start(
            *,
            cpus: int = 1,
            memory_mib: int = 512,
            kernel: Path | None = None,
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
            command += ["-kernel", str(kernel or image.bzimage), "-initrd", str(image.initramfs), *arguments]
            return stack.enter_context(LinuxGuest(command, directory, f"console=ttyS0 {append}".strip()))

        yield start
