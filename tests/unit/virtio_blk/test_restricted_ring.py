"""What a disk's ring does for somebody who has taken its process over: no filter sees what is put there."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from device_procs.data_plane.build_data_plane import C_FLAGS, CHECKOUT, LINK_FLAGS

ALLOWED = {"read": 4096, "write": 4096, "flush": 0}
REFUSED = (
    *("read-any-descriptor", "write-any-descriptor", "open", "open-fixed", "close", "unlink", "splice"),
    *("punch", "room-beyond-the-end"),  # whose mode a ring doesn't look at
    *("send", "nop", "linked", "asynchronous", "register-files", "register-buffers", "register-eventfd"),
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """By name, what the kernel says to each try."""
    where = tmp_path_factory.mktemp("ring")
    program, image = where / "restricted_ring", where / "image"
    image.write_bytes(bytes(8192))
    source = Path(__file__).with_name("restricted_ring.c")
    host_call = CHECKOUT / "device_procs" / "data_plane" / "host_call.c"
    sources = [str(source), str(host_call), f"-I{CHECKOUT}", f"-I{CHECKOUT / 'device_procs' / 'virtio_blk'}"]
    subprocess.run(["gcc", *C_FLAGS, "-o", str(program), *sources, *LINK_FLAGS], check=True)
    ran = subprocess.run([program, image], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert image.exists()
    pairs = (line.split() for line in ran.stdout.splitlines())
    return {name: int(result) for name, result in pairs}


def test_it_does_a_disks_work(outcomes: dict[str, int]) -> None:
    assert {name: outcomes[name] for name in ALLOWED} == ALLOWED


@pytest.mark.parametrize("name", REFUSED)
def test_it_does_nothing_else(outcomes: dict[str, int], name: str) -> None:
    assert outcomes[name] == -errno.EACCES


def test_it_has_no_other_file(outcomes: dict[str, int]) -> None:
    assert outcomes["read-another-file"] == -errno.EBADF
    assert set(outcomes) == {*ALLOWED, *REFUSED, "read-another-file"}
