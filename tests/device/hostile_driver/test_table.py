"""The whole table against each registered device in its jail: the answer, and nothing else written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from device_procs.device_registry import KINDS
from tests.device.hostile_driver.case import begin, play, serve_every_request
from tests.device.hostile_driver.cases import CASES, refusals
from tests.device.hostile_driver.declaration import declared
from tests.device.hostile_driver.victim import JailedVictim
from tests.device.zygote.zygote_rig import ZygoteRig

pytestmark = pytest.mark.timeout(300)

REFUSALS = [(kind, name) for kind in KINDS for name in refusals(declared(kind))]


class Victims:
    """A process of each kind that all cases share, for none may end it; after a failure there is another."""

    def __init__(self, directory: Path) -> None:
        self._zygote = ZygoteRig(directory / "uids.lock", seccomp=True)
        self._directory = directory
        self._victims: dict[str, JailedVictim] = {}

    @contextmanager
    def attack(self, kind: str) -> Iterator[JailedVictim]:
        """The victim, which isn't used again unless it comes through."""
        victim = self._victims.pop(kind, None) or JailedVictim(kind, self._zygote, self._directory)
        try:
            yield victim
            victim.check_alive()
        except BaseException:
            victim.close()
            raise
        self._victims[kind] = victim

    def close(self) -> None:
        for victim in self._victims.values():
            victim.close()
        self._zygote.close()


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    with closing(Victims(tmp_path_factory.mktemp("run"))) as made:
        yield made


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_the_tables(victims: Victims, kind: str, name: str) -> None:
    case = CASES[name]
    with victims.attack(kind) as victim:
        for number in victim.device.queues:
            if case.suits(begin(victim, number)):
                play(victim, case, number)


@pytest.mark.parametrize(("kind", "name"), REFUSALS)
def test_the_devices_own_error(victims: Victims, kind: str, name: str) -> None:
    with victims.attack(kind) as victim:
        number, case = refusals(victim.device)[name]
        play(victim, case, number)


@pytest.mark.parametrize("kind", KINDS)
def test_a_driver_that_behaves(victims: Victims, kind: str) -> None:
    with victims.attack(kind) as victim:
        serve_every_request(victim)
