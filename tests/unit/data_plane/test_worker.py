"""Workers under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer, driven in one process."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.data_plane.sanitized_build import CHECKOUT, DATA_PLANE, MEMORY, THREADS, build

SCENARIOS = (
    "many-requests",
    "many-requests-without-event-idx",
    "stop-and-go",
    "take-over",
    "a-mistake-stops-the-set",
    "blocked",
    "random-bytes",
    "quit-under-load",
    "no-filter-no-thread",
)
HANGS_AFTER_S = 120


@pytest.fixture(scope="module", params=[MEMORY, THREADS], ids=["memory", "threads"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = (
        "guest_memory.c",
        "inflight_log.c",
        "virtqueue.c",
        "virtqueue_errors.c",
        "host_call.c",
        "worker.c",
        "null_device.c",
    )
    rng = CHECKOUT / "device_procs" / "virtio_rng"
    sources = [
        *(DATA_PLANE / name for name in names),
        *(rng / name for name in ("rng.c", "rate_limit.c")),
        CHECKOUT / "tools" / "fake_driver" / "fake_queue.c",
    ]
    where = tmp_path_factory.mktemp("worker")
    return build(Path(__file__).with_name("worker_program.c"), where, request.param, sources)


@pytest.mark.parametrize("kicks", ["blocking", "nonblocking"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_worker(program: Path, scenario: str, kicks: str) -> None:
    ran = subprocess.run(
        [program, scenario, kicks], capture_output=True, text=True, timeout=HANGS_AFTER_S, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
