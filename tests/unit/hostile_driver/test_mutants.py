"""The table and the races notice a device that lacks one check: builds with one left out of the source."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.device.hostile_driver import victim as victim_module
from tests.device.hostile_driver.case import begin, play
from tests.device.hostile_driver.cases import CASES, refusals
from tests.device.hostile_driver.races import TURNS_MAX, races_of, run
from tests.unit.hostile_driver.mutants import RACES, TABLE
from tests.unit.hostile_driver.standalone_build import Mutant, build
from tests.unit.hostile_driver.standalone_victim import SanitizerReportError, StandaloneVictim
from tools.fake_driver.driver_queue import DriverError

pytestmark = pytest.mark.timeout(600)

ROUNDS = 500


def play_the_table(victim: StandaloneVictim) -> None:
    for case in CASES.values():
        for number in victim.device.queues:
            if case.suits(begin(victim, number)):
                play(victim, case, number)
    for number, case in refusals(victim.device).values():
        play(victim, case, number)


def run_one_race(name: str) -> Callable[[StandaloneVictim], None]:
    def attack(victim: StandaloneVictim) -> None:
        number, request, lay_out = races_of(victim)[name]
        for _ in range(TURNS_MAX):
            run(victim, number, request, lay_out, ROUNDS)

    return attack


ATTACKS: dict[str, tuple[tuple[str, str], Mutant, Callable[[StandaloneVictim], None]]] = {
    **{f"unchecked: {name}": (kind, mutant, play_the_table) for name, (kind, mutant) in TABLE.items()},
    **{
        f"read twice: {name}": (kind, mutant, run_one_race(race))
        for name, (kind, race, mutant) in RACES.items()
    },
}


def test_what_is_left_out_is_noticed(
    tmp_path: Path, repetitions: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of them, another choice each time; all by --full. One that hangs is noticed too, and sooner."""
    monkeypatch.setattr(victim_module, "HANGS_AFTER_S", 2.0)
    for name in random.sample(list(ATTACKS), repetitions(len(ATTACKS))):
        (kind, variant), mutant, attack = ATTACKS[name]
        victim = StandaloneVictim(kind, variant, build(kind, tmp_path, mutant), tmp_path)
        try:
            attack(victim)
        except (AssertionError, DriverError) as noticed:
            print(f"{name}: {str(noticed)[:200]}")
        else:
            pytest.fail(f"{name}: nobody has noticed")
        finally:
            with suppress(SanitizerReportError):
                victim.close()
