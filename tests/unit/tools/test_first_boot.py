"""Quickstart's scripted first boot against a fake guest: each step, broken, has a status of its own."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tools.first_boot.command import parser, vmm_command
from tools.first_boot.serial_console import SerialConsole
from tools.guest_image.image import GuestImage

CHECKOUT = Path(__file__).parents[3]
FAKE_VMM = Path(__file__).with_name("fake_vmm.py")


def _quickstart(
    vmm: Path, directory: Path, *options: str, broken: str = ""
) -> subprocess.CompletedProcess[str]:
    disk = directory / "rootfs.ext4"
    disk.write_bytes(b"a disk")
    place = directory / "temporary"
    place.mkdir(exist_ok=True)
    command = [str(CHECKOUT / "tools" / "quickstart"), "--boot-only", str(directory), str(disk)]
    command += ["--vmm", str(vmm), *options]
    return subprocess.run(
        ["env", f"FAKE_BREAK={broken}", f"TMPDIR={place}", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_everything_happens(tmp_path: Path) -> None:
    ran = _quickstart(FAKE_VMM, tmp_path)
    assert ran.returncode == 0, ran.stdout
    lines = [line.split("] ")[1] for line in ran.stdout.splitlines()]
    assert lines[0].startswith(f"booting: {FAKE_VMM} -kernel ")
    assert lines[1:6] == [
        "the guest is at its shell",
        "kernel version: 6.1.0-1-cloud-amd64",
        "CPUs: 1",
        "memory: 209 MiB usable of 256 MiB",
        "clock source: kvm-clock",
    ]
    assert lines[6].startswith("nonce computed in the guest: ")
    assert re.fullmatch("written to /dev/vda, remounted, read back: [0-9a-f]{32}", lines[7])
    assert lines[11] == "powered off"
    assert lines[12].startswith(f"another VM, with an entropy device: {FAKE_VMM} -kernel ")
    assert lines[13] == "the guest is at its shell"
    assert re.fullmatch("from the host's random numbers: [0-9a-f]{32}", lines[14])
    for table in (lines[8:11], lines[15:18]):
        assert table[0].split() == ["process", "pid", "uid", "state", "own", "memory"]
        assert table[1].startswith("main ")
        assert table[2].startswith("rng0 (virtio-rng) ")
    assert lines[18:] == ["powered off"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_vm_is_the_specifications_example_word_for_word() -> None:
    contract = (CHECKOUT / "tests" / "contract" / "contract.txt").read_text()
    example = contract.partition("Lightweight VMs\n\nThis section provides an example")[2]
    words = example.partition("/path/to/stratovirt \\\n")[2].partition("\n\n")[0].replace("\\\n", " ").split()
    options = parser().parse_args(["--vmm", "/path/to/stratovirt"])
    image = GuestImage(Path("/path/to"))
    command = vmm_command(options, image, Path("/home/rootfs.ext4"), Path("/tmp/stratovirt.socket"))
    assert command == ["/path/to/stratovirt", *words, "-initrd", "/path/to/disk-initramfs"]
    odd = vmm_command(options, image, Path("/home/a,b"), Path("/tmp/c,d"))
    assert "file=/home/a,,b,id=rootfs,readonly=false" in odd
    assert "unix:/tmp/c,,d,server,nowait" in odd


def test_cpus_and_memory_are_as_asked_for(tmp_path: Path) -> None:
    ran = _quickstart(FAKE_VMM, tmp_path, "--cpus", "3", "--memory", "300")
    assert " -smp 3 -m 300\n" in ran.stdout
    assert (ran.returncode, "was given 3" in ran.stdout) == (13, True)


def test_a_disk_that_is_missing_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    command = [str(CHECKOUT / "tools" / "quickstart"), "--boot-only", str(tmp_path), str(missing)]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "nowhere" in ran.stdout


def test_in_the_box_its_clock_goes_on(tmp_path: Path) -> None:
    said = _quickstart(tmp_path / "absent", tmp_path, "--began-at", str(time.time() - 1000)).stdout
    times = [float(line[1:].split(" s] ")[0]) for line in said.splitlines()]
    assert len(times) == 2
    assert all(1000 <= seconds < 1060 for seconds in times)


def test_nonces_differ(tmp_path: Path) -> None:
    first, second = (_quickstart(FAKE_VMM, tmp_path).stdout.splitlines()[6].split()[-1] for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        ("boot", 11),
        ("silence", 11),
        ("kernel", 12),
        ("cpus", 13),
        ("memory", 14),
        ("clock", 15),
        ("nonce", 16),
        ("poweroff", 17),
        ("exit", 18),
        ("random", 19),
        ("processes", 20),
        ("disk", 21),
        ("mount", 21),
    ],
)
def test_broken_step_is_told_by_the_status(tmp_path: Path, broken: str, status: int) -> None:
    ran = _quickstart(FAKE_VMM, tmp_path, broken=broken)
    assert ran.returncode == status, ran.stdout
    assert "failed: " in ran.stdout
    assert "Traceback" not in ran.stderr


def test_vmm_that_is_missing(tmp_path: Path) -> None:
    assert _quickstart(tmp_path / "nothing", tmp_path).returncode == 10


ATTENDED = """#!/bin/sh
trap 'kill $!; exit 7' TERM
trap 'kill $!; exit 8' HUP
echo the VMM is up
sleep 1000 &
wait
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 7), (signal.SIGHUP, 8)])
def test_a_signal_on_a_terminal_ends_the_vmm_and_takes_the_disk_along(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    vmm = tmp_path / "vmm"
    vmm.write_text(ATTENDED)
    vmm.chmod(0o755)
    (tmp_path / "disk").touch()
    place = tmp_path / "temporary"
    place.mkdir()
    command = [str(CHECKOUT / "tools" / "quickstart"), "--boot-only", str(tmp_path), str(tmp_path / "disk")]
    leader, follower = pty.openpty()
    quickstart = subprocess.Popen(
        ["env", "--default-signal", f"TMPDIR={place}", *command, "--vmm", str(vmm)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    try:
        SerialConsole(leader, leader).wait_for("the VMM is up", 60)
        (copy,) = place.glob("*/disk")
        quickstart.send_signal(number)
        assert quickstart.wait(60) == status
        assert not copy.parent.exists()
    finally:
        quickstart.kill()
        quickstart.wait()
        os.close(leader)
