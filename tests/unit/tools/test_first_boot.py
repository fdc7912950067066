"""Quickstart's scripted first boot against a fake guest: each step, broken, has a status of its own."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
FAKE_VMM = Path(__file__).with_name("fake_vmm.py")


def _quickstart(
    vmm: Path, directory: Path, *options: str, broken: str = ""
) -> subprocess.CompletedProcess[str]:
    command = [str(CHECKOUT / "tools" / "quickstart"), "--boot-only", str(directory), "--vmm", str(vmm)]
    command += options
    return subprocess.run(
        ["env", f"FAKE_BREAK={broken}", *command],
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
    assert lines[:6] == [
        "booting",
        "the guest is at its shell",
        "kernel version: 6.1.0-1-cloud-amd64",
        "CPUs: 2",
        "memory: 478 MiB usable of 512 MiB",
        "clock source: kvm-clock",
    ]
    assert lines[6].startswith("nonce computed in the guest: ")
    assert re.fullmatch("from the host's random numbers: [0-9a-f]{32}", lines[7])
    assert lines[8].split() == ["process", "pid", "uid", "state", "own", "memory"]
    assert lines[9].startswith("main ")
    assert lines[10].startswith("rng0 (virtio-rng) ")
    assert lines[11:] == ["powered off"]


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
        ("silence", 12),
        ("kernel", 12),
        ("cpus", 13),
        ("memory", 14),
        ("clock", 15),
        ("nonce", 16),
        ("poweroff", 17),
        ("exit", 18),
        ("random", 19),
        ("processes", 20),
    ],
)
def test_broken_step_is_told_by_the_status(tmp_path: Path, broken: str, status: int) -> None:
    ran = _quickstart(FAKE_VMM, tmp_path, broken=broken)
    assert ran.returncode == status, ran.stdout
    assert "failed: " in ran.stdout
    assert "Traceback" not in ran.stderr


def test_vmm_that_is_missing(tmp_path: Path) -> None:
    assert _quickstart(tmp_path / "nothing", tmp_path).returncode == 10
