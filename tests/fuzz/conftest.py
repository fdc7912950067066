"""Runs every target for a while, two at a time; a test waits for its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.fuzzing import engine
from tools.fuzzing.targets import Target, all_targets

PYTHON = Path(sys.executable)
RUN_S, RUN_FULL_S = 60, 600
AT_A_TIME = 2


@dataclass(frozen=True)
class Ran:
    """What became of a target's run.

    Attributes:
        status: 0 if nothing was found.
        output: What the fuzzer has said, its last words.
        found: Inputs that show a bug.
    """

    status: int
    output: str
    found: list[Path]


def fuzz(target: Target, where: Path, seconds: float) -> Ran:
    """Runs a target to the end; 0 seconds only runs what the corpora hold."""
    place = engine.Workplace(where, target)
    said = where / f"{target.name}-{seconds:g}.log"
    with said.open("wb") as output:
        process = engine.start(target, PYTHON, place, seconds, output)
        try:
            status = process.wait()
        finally:  # also when the time of whoever waits is up
            process.kill()
            process.wait()
            place.empty_temporary()
    return Ran(status, said.read_text(encoding="utf-8", errors="replace"), place.found)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, full: bool) -> Iterator[dict[str, Future[Ran]]]:
    """All targets' runs, by name; they are begun together."""
    where = tmp_path_factory.mktemp("fuzz")
    seconds = RUN_FULL_S if full else RUN_S
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {target.name: pool.submit(fuzz, target, where, seconds) for target in all_targets()}
