"""A soak of a Bulkhead with something wrong in it: it says what, with seed, step and log, and fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.other_libraries.other_python import other_environment, zygotes_path
from tests.device.virtio_blk.fault_build import straying_build_path

SOAK = Path(__file__).resolve().parents[2] / "tools" / "soak"
BULKHEAD = os.environ.get("BULKHEAD_PROGRAM") or str(Path(sys.executable).parent / "bulkhead")
SEED = "1"

pytestmark = pytest.mark.timeout(300)


def failure_of(program: Path | str) -> str:
    """What a soak of that program says on standard error."""
    ran = subprocess.run(
        [SOAK, "0.05", "--seed", SEED],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BULKHEAD_PROGRAM": str(program)},
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert f"seed {SEED}; VM 1" in ran.stderr
    return ran.stderr


def wrapper(directory: Path, script: str) -> Path:
    program = directory / "bulkhead"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def test_a_disk_that_writes_elsewhere() -> None:
    said = failure_of(other_environment(*zygotes_path(straying_build_path())) / "bulkhead")
    assert "FAILED: the guest got what is wrong: {'wrong-" in said
    assert "client connected" in said  # the log's tail


def test_a_process_that_stays(tmp_path: Path) -> None:
    said = failure_of(wrapper(tmp_path, f'(sleep 90 &)\nexec "{BULKHEAD}" "$@"'))
    assert "FAILED: process " in said
    assert "(sleep) is left" in said


def test_a_file_that_stays(tmp_path: Path) -> None:
    said = failure_of(wrapper(tmp_path, f'touch left-over\nexec "{BULKHEAD}" "$@"'))
    assert "left-over is left" in said


def test_a_vm_that_does_not_start(tmp_path: Path) -> None:
    said = failure_of(wrapper(tmp_path, 'echo "no VM today" >&2\nexit 1'))
    assert "the VM ended at its start" in said
    assert "no VM today" in said
