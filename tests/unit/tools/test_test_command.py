"""How `tools/test` understands its arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.testing.command import LAYERS, paths_for_pytest, split_arguments


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    for layer in ("unit", "linux"):
        (tmp_path / layer / "deeper").mkdir(parents=True)
        (tmp_path / layer / "deeper" / "test_x.py").touch()
    for layer in set(LAYERS) - {"unit", "linux"}:
        (tmp_path / layer).mkdir()
    return tmp_path


def test_layers_come_first() -> None:
    assert split_arguments(["unit", "style", "-k", "guest"]) == (["unit", "style"], ["-k", "guest"])
    assert split_arguments(["--full"]) == ([], ["--full"])


def test_all_layers_that_have_tests_by_default(tests: Path) -> None:
    assert paths_for_pytest([], ["--full"], tests) == [str(tests / "unit"), str(tests / "linux")]
    assert paths_for_pytest(["guest"], [], tests) == []


def paths_for_pytest_for_pytest_take_the_place_of_layers(tests: Path) -> None:
    one_test = f"{tests}/unit/deeper/test_x.py::test_y"
    assert paths_for_pytest([], ["-x", one_test], tests) == []
