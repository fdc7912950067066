"""What an option's effect is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.contract.bench import Bench


class Effect(NamedTuple):
    """An option, how its effect is observed, and what is seen with it."""

    option: list[str]
    observe: Callable[[Bench, list[str]], Any]
    seen: Any
