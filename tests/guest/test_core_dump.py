"""dump-guest-core: whether a core of the VMM holds what the guest had in its memory.

Where a core goes is the whole machine's setting. A machine that doesn't write cores to the working directory
isn't changed for a test: the test runs in the box then, whose kernel has the default.
"""

from __future__ import annotations

import functools
import mmap
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.boxed_layers import LAB
from tests.guest.conftest import StartBareMetal
from tests.guest.core_file import CORE_PATTERN, abort, cores_go_to_working_directory
from tests.guest.guest_report import secrets_of
from tests.guest.running_vm import BareMetalVm

pytestmark = pytest.mark.timeout(900)

_CHECKOUT = LAB.parents[2]
_CASES = pytest.mark.parametrize(("value", "dumped"), [("on", True), ("off", False), (None, True)])


def _with_marker(start: StartBareMetal, *arguments: str) -> tuple[BareMetalVm, bytes]:
    """A VM, and a page that its guest has made and no other process knows."""
    vm = start("marker", *arguments)
    vm.report.wait_for_seal()
    return vm, struct.pack("<512Q", *secrets_of(vm.nonce, 512))


def _options(value: str | None) -> tuple[str, ...]:
    return () if value is None else ("-machine", f"microvm,dump-guest-core={value}")


@_CASES
def test_what_the_kernel_says_of_the_mapping(
    start: StartBareMetal, value: str | None, *, dumped: bool
) -> None:
    """VmFlags have "dd" when a core leaves a mapping out."""
    vm, _ = _with_marker(start, *_options(value))
    lines = iter(Path(f"/proc/{vm.process.pid}/smaps").read_text().splitlines())
    answers = []
    for line in lines:
        if "memfd:bulkhead-guest-memory" in line:
            flags = next(each for each in lines if each.startswith("VmFlags:"))
            answers.append("dd" not in flags.split())
    assert set(answers) == {dumped}


@_CASES
def test_dump_guest_core(start: StartBareMetal, tmp_path: Path, value: str | None, *, dumped: bool) -> None:
    _, hard_limit = resource.getrlimit(resource.RLIMIT_CORE)
    if not cores_go_to_working_directory(CORE_PATTERN.read_text(), hard_limit):
        status, output = _same_tests_in_box()
        assert status == 0, output
        return
    vm, marker = _with_marker(start, *_options(value))
    core = abort(vm.process, tmp_path)
    with core.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        assert (content.find(marker) >= 0) == dumped
        # Not only that page: with the guest's memory in it, a core is as large as that (256 MiB).
        assert (len(content) > 256 << 20) == dumped
    core.unlink()


@functools.cache
def _same_tests_in_box() -> tuple[int, str]:
    """The exit status and output of test_dump_guest_core, all its cases, in one boot of the box."""
    inner = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--box=never"]
    command = [str(LAB), "--timeout", "600", "--", *inner, f"{__file__}::test_dump_guest_core"]
    done = subprocess.run(command, cwd=_CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


@pytest.mark.parametrize(
    "pattern",
    [
        "|/usr/lib/systemd/systemd-coredump %P %u %g %s %t %c %h",
        "|/usr/share/apport/apport -p%p",
        "/var/crash/core.%e.%p",
        "cores/core.%p",
        "@/run/coredump.socket",
    ],
)
def test_a_core_that_goes_elsewhere_is_known_to(pattern: str) -> None:
    assert not cores_go_to_working_directory(f"{pattern}\n", resource.RLIM_INFINITY)
    assert not cores_go_to_working_directory("core\n", 0)


def test_a_core_that_comes_here_is_known_to() -> None:
    for pattern in ("core\n", "%e.%p.core\n", "\n"):
        assert cores_go_to_working_directory(pattern, resource.RLIM_INFINITY)
