"""The boot half of tools/quickstart, with the real VMM and a real guest, both without and with a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tools.first_boot.serial_console import SerialConsole
from tools.guest_image.image import GuestImage

QUICKSTART = Path(__file__).resolve().parents[2] / "tools" / "quickstart"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Has the disk's copy made in the box's own disk, if this is the box."""
    scratch = Path("/scratch")
    return {**os.environ, "TMPDIR": str(scratch if scratch.is_mount() else tmp_path)}


def test_scripted_first_boot(
    image: GuestImage, root_disk: Path, bulkhead: Path, environment: dict[str, str]
) -> None:
    command = [str(QUICKSTART), "--boot-only", str(image.directory), str(root_disk), "--vmm", str(bulkhead)]
    ran = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for answer in (
        "kernel version: 6.",
        "CPUs: 1",
        "memory: ",
        "clock source: kvm-clock",
        "nonce",
        "from the host's random numbers: ",
        "written to /dev/vda, remounted, read back: ",
        "virtio-blk0 (virtio-blk)",
        "rng0 (virtio-rng)",
    ):
        assert answer in ran.stdout
    assert ran.stdout.count("powered off") == 2


def test_terminal_gets_the_guests_shell_and_ctrl_a_x_ends_it(
    image: GuestImage, root_disk: Path, bulkhead: Path, environment: dict[str, str]
) -> None:
    leader, follower = pty.openpty()
    command = [str(QUICKSTART), "--boot-only", str(image.directory), str(root_disk), "--vmm", str(bulkhead)]
    process = subprocess.Popen(
        [*command, "--cpus", "2"],
        env=environment,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    try:
        console = SerialConsole(leader, leader)
        console.wait_for_prompt(300)
        assert console.ask("nproc").output == "2"
        console.send("\x01x")
        console.read_to_end(60)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)
