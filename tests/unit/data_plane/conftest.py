from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.data_plane.ring_case import RingProgram
from tests.unit.data_plane.sanitized_build import DATA_PLANE, MEMORY, build


@pytest.fixture(scope="module")
def ring_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RingProgram]:
    """ring_program.c under AddressSanitizer and UndefinedBehaviorSanitizer."""
    names = ("guest_memory.c", "inflight_log.c", "virtqueue.c", "virtqueue_errors.c")
    sources = [DATA_PLANE / name for name in names]
    where = tmp_path_factory.mktemp("rings")
    executable = build(Path(__file__).with_name("ring_program.c"), where, MEMORY, sources)
    with subprocess.Popen([executable], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield RingProgram(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0
