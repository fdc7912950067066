"""The whole table against each device's C under sanitizers, without its process."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.device.hostile_driver.case import begin, play
from tests.device.hostile_driver.cases import CASES, refusals
from tests.unit.hostile_driver.standalone_build import build
from tests.unit.hostile_driver.standalone_victim import VARIANTS, StandaloneVictim


@pytest.mark.parametrize(("kind", "variant"), VARIANTS)
def test_every_answer_is_the_tables(kind: str, variant: str, tmp_path: Path) -> None:
    with closing(StandaloneVictim(kind, variant, build(kind, tmp_path), tmp_path)) as victim:
        for case in CASES.values():
            for number in victim.device.queues:
                if case.suits(begin(victim, number)):
                    play(victim, case, number)
        for number, case in refusals(victim.device).values():
            play(victim, case, number)
