"""Memory that changes under the eyes of each registered device in its jail."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from device_procs.device_registry import KINDS
from tests.device.hostile_driver.races import run_all
from tests.device.hostile_driver.victim import JailedVictim
from tests.device.zygote.zygote_rig import ZygoteRig

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_it_has_seen(tmp_path: Path, kind: str, repetitions: Callable[[int], int]) -> None:
    with (
        closing(ZygoteRig(tmp_path / "uids.lock", seccomp=True)) as zygote,
        closing(JailedVictim(kind, zygote, tmp_path)) as victim,
    ):
        tally = run_all(victim, repetitions(1000))
    # A race that nobody has lost or won wasn't one.
    assert tally.served > 0
    assert tally.mistakes > 0
