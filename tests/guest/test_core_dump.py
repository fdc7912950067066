"""dump-guest-core: whether a core of the VMM holds what the guest had in its memory."""

from __future__ import annotations

import mmap
import resource
import signal
import struct
from pathlib import Path

import pytest

from tests.guest.conftest import StartBareMetal
from tests.guest.guest_report import secrets_of
from tests.guest.running_vm import BareMetalVm

pytestmark = pytest.mark.timeout(180)


def _with_marker(start: StartBareMetal, *arguments: str) -> tuple[BareMetalVm, bytes]:
    """A VM, and a page that its guest has made and no other process knows."""
    vm = start("marker", *arguments)
    vm.report.wait_for_seal()
    return vm, struct.pack("<512Q", *secrets_of(vm.nonce, 512))


def _dumps_guest_memory(vm: BareMetalVm) -> bool:
    """What the kernel says of the mapping: its VmFlags have "dd" when a core leaves it out."""
    lines = iter(Path(f"/proc/{vm.process.pid}/smaps").read_text().splitlines())
    answers = []
    for line in lines:
        if "memfd:bulkhead-guest-memory" in line:
            flags = next(each for each in lines if each.startswith("VmFlags:"))
            answers.append("dd" not in flags.split())
    (answer,) = set(answers)
    return answer


def _core(vm: BareMetalVm, directory: Path) -> Path:
    """Aborts the VMM and returns its core."""
    _, hard = resource.prlimit(vm.process.pid, resource.RLIMIT_CORE)
    resource.prlimit(vm.process.pid, resource.RLIMIT_CORE, (hard, hard))
    vm.process.send_signal(signal.SIGABRT)
    assert vm.process.wait(120) == -signal.SIGABRT
    (core,) = directory.glob("core*")
    return core


@pytest.mark.parametrize(("value", "dumped"), [("on", True), ("off", False), (None, True)])
def test_dump_guest_core(start: StartBareMetal, tmp_path: Path, value: str | None, *, dumped: bool) -> None:
    options = () if value is None else ("-machine", f"microvm,dump-guest-core={value}")
    vm, marker = _with_marker(start, *options)
    assert _dumps_guest_memory(vm) == dumped
    core = _core(vm, tmp_path)
    with core.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        assert (content.find(marker) >= 0) == dumped
        # Not only that page: with the guest's memory in it, a core is as large as that (256 MiB).
        assert (len(content) > 256 << 20) == dumped
    core.unlink()
