"""A VM all of whose processes do without the C library's usual ways, under their filters."""

from __future__ import annotations

import pytest

from tests.device.other_libraries.other_python import NO_RSEQ, NO_VDSO, other_environment, run_with

# Devices, deaths, stops with deadlines, a terminal, and reports of failures.
RUNS = (
    "test_virtio_rng.py",
    "test_terminal.py",
    "test_run_states.py",
    "test_failure.py",
    "test_device_deaths.py",
)


@pytest.mark.timeout(300)
def test_a_vm_lives_without_vdso_and_rseq() -> None:
    files = [f"tests/guest/{name}" for name in RUNS]
    # The tests' own VMM is the one beside their Python.
    ran = run_with(
        other_environment(*NO_VDSO, *NO_RSEQ),
        "python",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *files,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
