"""Cached things are whole, made once, keyed by their inputs, and go when nobody uses them."""

from __future__ import annotations

import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
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


def test_who_waits_for_another_maker_says_so(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = cached("thing", ["a"], lambda directory: None)
    assert capfd.readouterr().err == ""
    with ThreadPoolExecutor(1) as thread, (cache / ".thing.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = thread.submit(cached, "thing", ["a"], lambda directory: None)
        said = ""
        while not said.endswith("\n"):
            said += capfd.readouterr().err
        assert said == f"waiting for another process that makes or looks up thing in {cache}\n"
        assert not second.done()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert second.result(60) == first


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
