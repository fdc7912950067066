"""Cached things are whole, made once, keyed by their inputs, and go when nobody uses them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tools.build_cache import UNUSED_AFTER_S, cached, key_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "bulkhead"


def test_made_once_for_the_same_inputs() -> None:
    made: list[Path] = []

    def make(directory: Path) -> None:
        made.append(directory)
        (directory / "file").write_text("content")

    first = cached("thing", ["a", b"b"], make)
    assert cached("thing", ["a", b"b"], make) == first
    assert len(made) == 1
    assert (first / "file").read_text() == "content"
    assert cached("thing", ["a", b"c"], make) != first


def test_failure_leaves_nothing_and_is_passed_on(cache: Path) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").write_text("")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached("thing", ["a"], fail)
    assert [path.name for path in cache.iterdir()] == [".thing.lock"]


def test_key_depends_on_where_parts_end_and_on_file_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    before = key_of([file])
    file.write_text("y")
    assert before != key_of([file])
    assert key_of(["ab", "c"]) != key_of(["a", "bc"])


def test_unused_things_go_when_another_is_made() -> None:
    old = cached("thing", ["old"], lambda directory: None)
    recent = cached("thing", ["recent"], lambda directory: None)
    long_ago = time.time() - UNUSED_AFTER_S - 60
    os.utime(old, (long_ago, long_ago))
    cached("thing", ["new"], lambda directory: None)
    assert not old.exists()
    assert recent.exists()
