"""Devices under their filters, with the C library's other ways really taken (other_python.c)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from device_procs.device_registry import KINDS
from tests.device.other_libraries.other_python import CHECKOUT, NO_RSEQ, NO_VDSO, other_environment, run_with

DEVICE_LAYER = CHECKOUT / "tests" / "device"
# Prints where the library found a vDSO, and how much of rseq it has registered: 0 for not at all.
WAYS = """
import ctypes
libc = ctypes.CDLL(None)
libc.getauxval.restype = ctypes.c_ulong
print(libc.getauxval(33) != 0, ctypes.c_uint.in_dll(libc, "__rseq_size").value != 0)
"""


def ways_of(python: str | Path) -> list[str]:
    ran = subprocess.run([python, "-c", WAYS], capture_output=True, text=True, check=True)
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("flags", "ways"),
    [(NO_VDSO, ["False", "True"]), (NO_RSEQ, ["True", "False"]), ((*NO_VDSO, *NO_RSEQ), ["False", "False"])],
    ids=["no-vdso", "no-rseq", "neither"],
)
def test_the_ways_are_taken(flags: tuple[str, ...], ways: list[str]) -> None:
    assert ways_of(sys.executable) == ["True", "True"]  # or there would be nothing to take away
    assert ways_of(other_environment(*flags) / "python") == ways


@pytest.mark.timeout(300)
def test_devices_live_with_them() -> None:
    """Zygote and devices are of the same Python as pytest: what they do all their life, and how they die."""
    files = sorted(
        str(path.relative_to(CHECKOUT))
        for folder in (folder for _, folder in KINDS.values())
        for path in (DEVICE_LAYER / folder).glob("test_jailed_*.py")
    )
    assert len(files) >= len(KINDS)
    pytest_run = (
        "python",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/device/sandbox/test_deaths.py",
    )
    ran = run_with(other_environment(*NO_VDSO, *NO_RSEQ), *pytest_run, *files)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
