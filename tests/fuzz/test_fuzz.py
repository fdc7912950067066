"""Every target: what its corpus holds, regressions among it, and a while of fuzzing. Neither finds a bug."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.fuzz.conftest import AT_A_TIME, RUN_FULL_S, Ran, fuzz
from tools.fuzzing.engine import progress_in
from tools.fuzzing.targets import FUZZ, Target, all_targets

TARGETS = all_targets()
HANGS_AFTER_S = 10 * RUN_FULL_S * len(TARGETS) / AT_A_TIME
CORPORA_MAX_BYTES = 1 << 20


def check(ran: Ran) -> None:
    assert ran.status == 0, f"{ran.output[-6000:]}\nshown by {[str(path) for path in ran.found]}"
    assert ran.found == []


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_its_corpus(target: Target, tmp_path: Path) -> None:
    kept = target.kept
    assert kept, f"tools/fuzz {target.name} --merge makes one"
    ran = fuzz(target, tmp_path, 0)
    check(ran)
    progress = progress_in(ran.output)
    assert progress is not None
    assert progress.executions >= len(kept)


@pytest.mark.timeout(HANGS_AFTER_S)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_while_of_fuzzing(target: Target, runs: dict[str, Future[Ran]]) -> None:
    ran = runs[target.name].result()
    check(ran)
    progress = progress_in(ran.output)
    assert progress is not None
    print(f"{target.name}: {progress}")
    assert progress.executions > 2 * len(target.kept), "it has only run what was there"


def test_the_corpora_are_small() -> None:
    assert sum(path.stat().st_size for path in (FUZZ / "corpora").rglob("*")) < CORPORA_MAX_BYTES
