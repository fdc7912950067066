"""A soak of a Bulkhead with something wrong in it: it says what, with seed, step and log, and fails."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.other_libraries.other_python import other_environment, zygotes_path
from tests.device.virtio_blk.fault_build import straying_build_path
from tools.soaking.plan import plans
from tools.soaking.soaked_vm import HANG_S

SOAK = Path(__file__).resolve().parents[2] / "tools" / "soak"
BULKHEAD = os.environ.get("BULKHEAD_PROGRAM") or str(Path(sys.executable).parent / "bulkhead")
SEED = 1

pytestmark = pytest.mark.timeout(300)


def failure_of(program: Path | str, seed: int = SEED) -> str:
    """What a soak of that program says on standard error."""
    ran = subprocess.run(
        [SOAK, "0.05", "--seed", str(seed)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BULKHEAD_PROGRAM": str(program)},
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert f"seed {seed}; VM 1" in ran.stderr
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


def test_a_heartbeat_that_finds_nothing(tmp_path: Path) -> None:
    """The first thing that is done to the VM is that one of its processes hangs."""
    seed = next(seed for seed in itertools.count() if next(plans(seed)).actions[0].name == "hang-device")
    said = failure_of(wrapper(tmp_path, f'BULKHEAD_DEADLINES=hang_s=3600 exec "{BULKHEAD}" "$@"'), seed)
    assert "FAILED: QMP: DEVICE_PROCESS_DIED " in said
    assert "didn't come within " in said


def test_a_process_that_is_killed_for_another_reason(tmp_path: Path) -> None:
    """Main finds the process that hangs, and takes half the time for it: the cause says so."""
    seed = next(seed for seed in itertools.count() if next(plans(seed)).actions[0].name == "hang-device")
    script = f'BULKHEAD_DEADLINES=beat_s=0.5,hang_s={HANG_S / 2} exec "{BULKHEAD}" "$@"'
    said = failure_of(wrapper(tmp_path, script), seed)
    assert f"'cause': 'hung: its control thread has answered nothing for {HANG_S / 2:g} s" in said
    assert f"expected: ('hung: its control thread has answered nothing for {HANG_S:g} s'" in said
