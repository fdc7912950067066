"""The same disk where the host has no io_uring: every test of it once more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.device.virtio_blk.without_io_uring import without_io_uring

HERE = Path(__file__).parent


def test_the_engine_is_another() -> None:
    ask = "from tests.device.virtio_blk.engine import engine_here; print(engine_here())"
    ran = without_io_uring(sys.executable, "-c", ask)
    assert (ran.stdout, ran.stderr) == ("preadv\n", "")


@pytest.mark.timeout(300)
def test_a_disk_without_io_uring(tmp_path: Path) -> None:
    pytest_run = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    tests = [str(path) for path in sorted(HERE.glob("test_jailed_*.py")) if path != Path(__file__)]
    ran = without_io_uring(*pytest_run, f"--basetemp={tmp_path / 'inner'}", *tests)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert " passed" in ran.stdout
