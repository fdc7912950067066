"""A disk's C under sanitizers, with a driver that writes anything into rings, headers and ranges."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.data_plane.sanitized_build import CHECKOUT, DATA_PLANE, MEMORY, build

DISK = CHECKOUT / "device_procs" / "virtio_blk"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("guest_memory.c", "host_call.c", "inflight_log.c", "virtqueue.c", "virtqueue_errors.c")
    sources = [*(DATA_PLANE / name for name in names), *sorted(DISK.glob("*.c"))]
    where = tmp_path_factory.mktemp("disk")
    return build(Path(__file__).with_name("blk_program.c"), where, MEMORY, sources, ("-l:liburing.a",))


@pytest.mark.parametrize("alignment", ["1", "512"])
@pytest.mark.parametrize("engine", ["io_uring", "preadv"])
def test_any_driver(
    program: Path, tmp_path: Path, repetitions: Callable[[int], int], engine: str, alignment: str
) -> None:
    seed, rounds = str(int.from_bytes(os.urandom(8), "little")), str(repetitions(500_000))
    print(f"seed {seed}")
    command: list[str | Path] = [program, engine, alignment, seed, rounds, tmp_path / "image"]
    # The ring's memory lives as long as its process, by design.
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    completed, mistakes = map(int, ran.stdout.split())
    print(f"{completed} requests completed, {mistakes} mistakes found")
    assert completed > 1000
    assert mistakes > 100
