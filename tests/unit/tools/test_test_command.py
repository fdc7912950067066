"""How `tools/test` understands its arguments."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.testing.command import LAYERS, paths_for_pytest, side_by_side, split_arguments


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


def test_paths_take_the_place_of_layers(tests: Path) -> None:
    one_test = f"{tests}/unit/deeper/test_x.py::test_y"
    assert paths_for_pytest([], ["-x", one_test], tests) == []


def test_layers_that_can_run_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kvm = tmp_path / "kvm"
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert side_by_side(["unit", "style"], kvm) == ["-n", "2", "--dist", "loadfile"]
    assert side_by_side(["unit", "guest"], kvm) == []  # the guest layer has one boot of the box then
    kvm.touch()
    assert side_by_side(["unit", "guest"], kvm) == ["-n", "2", "--dist", "loadfile"]
    assert side_by_side(["unit", "linux"], kvm) == []
    assert side_by_side([], kvm) == []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert side_by_side(["unit"], kvm) == []
