"""Every option has its effect, and dropping the option loses the effect."""

from __future__ import annotations

import pytest

from tests.contract.bench import Bench
from tests.contract.effects import EFFECTS

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("name", EFFECTS)
def test_the_option_has_its_effect(bench: Bench, name: str) -> None:
    effect = EFFECTS[name]
    arguments = [word.replace("{dir}", str(bench.directory)) for word in effect.option]
    assert effect.observe(bench, arguments) == effect.seen


@pytest.mark.parametrize("name", EFFECTS)
def test_dropping_it_loses_the_effect(bench: Bench, name: str) -> None:
    effect = EFFECTS[name]
    assert effect.observe(bench, []) != effect.seen
