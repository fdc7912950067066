"""Memory that changes under the eyes of each device's C, under sanitizers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.device.hostile_driver.races import run_all
from tests.unit.hostile_driver.standalone_build import build
from tests.unit.hostile_driver.standalone_victim import VARIANTS, StandaloneVictim

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(("kind", "variant"), VARIANTS)
def test_whatever_it_has_seen(
    kind: str, variant: str, tmp_path: Path, repetitions: Callable[[int], int]
) -> None:
    with closing(StandaloneVictim(kind, variant, build(kind, tmp_path), tmp_path)) as victim:
        tally = run_all(victim, repetitions(500))
    assert tally.served > 0
    assert tally.mistakes > 0
