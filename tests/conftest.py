"""What all layers share: --full, the rule about skips, and the layers that run in the box."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest_plugins = ["tests.skip_policy", "tests.box_report_stream", "tests.boxed_layers"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="large repetitions in full, not a tenth of them")


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether large repetitions are to run in full."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session")
def repetitions(full: bool) -> Callable[[int], int]:
    """Turns the full count of a large repetition into the one for this run: all of it, or a tenth."""
    return lambda count: count if full else max(1, count // 10)
