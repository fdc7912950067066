"""bulkhead-audit finds what main holds or maps and isn't to: each planted alone, in the main of a real VM."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.planted_main import DISK, LOG, OTHER_VMS_MEMORY
from tests.guest.running_vm import BareMetalVm
from tests.guest.test_audit import DIFFERS, audited, differences

pytestmark = pytest.mark.timeout(300)

CHECKOUT = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0
StartPlanted = Callable[[str], BareMetalVm]
# What is planted -> the aspect that differs, and what is found.
PLANTED: dict[str, tuple[str, str]] = {
    "memory of another VM": ("descriptor", "/memfd:bulkhead-guest-memory (deleted) (rw)"),
    "KVM VM": ("descriptor", "anon_inode:kvm-vm"),
    "KVM": ("descriptor", "/dev/kvm"),
    "network socket": ("descriptor", "socket:["),
    "unix socket": ("descriptor", "socket:["),
    "pidfd of another process": ("descriptor", "anon_inode:[pidfd] 1 (rw)"),
    "eventfd": ("descriptor", "anon_inode:[eventfd]"),
    "epoll": ("descriptor", "anon_inode:[eventpoll]"),
    "memfd": ("descriptor", "/memfd:planted"),
    "disk to write": ("descriptor", f"{DISK} (rw)"),
    "disk once more": ("descriptor", f"{DISK} (r)"),
    "log to read": ("descriptor", f"{LOG} (rw)"),
    "mapped file": ("mapped files", "/etc/passwd"),
    "mapped file, shared": ("mapped files", "/etc/passwd"),
    "mapped file, as code": ("mapped files", "/etc/passwd"),
    "code of a memfd": ("code", "/memfd:planted"),
    "code of a deleted file": ("code", "code.so (deleted)"),
    "code of a text": ("mapped files", "code.so"),
    **({"code of somebody else": ("mapped files", "code.so")} if IS_ROOT else {}),
}


@pytest.fixture
def start_planted(images: BareMetalImages, tmp_path: Path) -> Iterator[StartPlanted]:
    """Starts a VM with a disk and a log, whose main has something planted."""
    with ExitStack() as stack:

        def begin(program: str, name: str, *arguments: str) -> BareMetalVm:
            folder = tmp_path / name
            folder.mkdir()
            vm = BareMetalVm(program, folder, images.form("pvh"), "count", *arguments, sockets=1)
            stack.callback(vm.close)
            vm.report.wait_for("counter")
            return vm

        def start(plant: str) -> BareMetalVm:
            (tmp_path / DISK).write_bytes(bytes(1 << 20))
            program = tmp_path / "planted"
            words = [sys.executable, "-m", "tests.guest.planted_main", plant, str(tmp_path)]
            program.write_text(
                f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(CHECKOUT))} exec {shlex.join(words)} "$@"\n',
                encoding="utf-8",
            )
            program.chmod(0o755)
            if plant == "memory of another VM":
                other = begin(str(Path(sys.executable).parent / "bulkhead"), "other-vm")
                (tmp_path / OTHER_VMS_MEMORY).symlink_to(_memory_of(other.process.pid))
            drive = f"id=d,file={tmp_path}/{DISK},readonly=on"
            return begin(
                str(program),
                "vm",
                *("-D", str(tmp_path / LOG), "-drive", drive, "-device", "virtio-blk-device,drive=d,id=blk0"),
            )

        yield start


def _memory_of(pid: int) -> str:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(entry).startswith("/memfd:bulkhead-guest-memory"):
            return str(entry)
    raise AssertionError("it has none")


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_is_found_and_nothing_else(start_planted: StartPlanted, plant: str) -> None:
    aspect, said = PLANTED[plant]
    vm = start_planted(plant)
    ((process, found_aspect, found),) = differences(audited(vm.paths[0], DIFFERS))
    assert (process, found_aspect) == ("main", aspect)
    assert said in found


def test_a_pipe_is_found_by_both_its_ends(start_planted: StartPlanted) -> None:
    found = differences(audited(start_planted("pipe").paths[0], DIFFERS))
    assert [(process, aspect) for process, aspect, _ in found] == [("main", "descriptor")] * 2
    assert all("pipe:[" in said for *_, said in found)
