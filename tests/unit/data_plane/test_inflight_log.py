"""The in-flight log's reader under sanitizers, with logs that a hostile process may have left."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from device_procs.data_plane._data_plane import lib
from tests.unit.data_plane.sanitized_build import DATA_PLANE, MEMORY, build
from vmm_main.device_supervisor.inflight_memory import InflightMemory


def test_any_log(tmp_path: Path, repetitions: Callable[[int], int]) -> None:
    sources = [DATA_PLANE / name for name in ("inflight_log.c", "virtqueue_errors.c")]
    program = build(Path(__file__).with_name("inflight_program.c"), tmp_path, MEMORY, sources)
    seed = str(int.from_bytes(os.urandom(8), "little"))
    print(f"seed {seed}")
    ran = subprocess.run(
        [program, seed, str(repetitions(1_000_000))], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    taken, refused = map(int, ran.stdout.split())
    assert taken > 100
    assert refused > 100


def test_main_makes_room_for_every_queue() -> None:
    """What main lays out is what a device process divides."""
    for sizes in ((256,), (256,) * 16, (1024,) * 3, (8, 64)):
        memory = InflightMemory(sizes)
        try:
            room = lib.inflight_log_room(os.fstat(memory.fd).st_size, len(sizes))
            assert max(sizes) <= room < max(sizes) + 4  # rounded up to a line of the cache
        finally:
            memory.close()
