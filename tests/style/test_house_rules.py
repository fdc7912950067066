"""The house rules hold, and each finds what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.style import house_rules
from tests.style.source_tree import CHECKOUT, plant, project_files

# "file:function" -> why there is nothing to wait for.
_DAEMON = "tests/unit/process/test_daemon.py"
REVIEWED_SLEEPS = {
    # Between two looks at something that can't be waited for, with a deadline or an end that the test sets.
    f"{_DAEMON}:_becomes_ready": "the daemon has no descriptor of the test's left: files tell it to go on",
    f"{_DAEMON}:_fails_while_a_child_holds_the_pipe": "as above",
    f"{_DAEMON}:_wait_for": "a file that such a daemon makes",
    f"{_DAEMON}:_wait_until_gone": "the daemon isn't the test's child",
    "tests/contract/bench.py:wait_until": "a socket's listener, a log's line, a daemon's end",
    "tools/soaking/waiting.py:wait_until": "another process's descriptors, children and locks",
    "tests/linux/acknowledged_blocks.py:wait_for_more": "a guest writes to a disk's image",
    "tests/unit/process/test_signals.py:test_sigquit_writes_every_threads_stack_to_the_log": "a log grows",
}


def sleeps(root: Path, files: list[PurePosixPath]) -> Iterator[str]:
    return house_rules.sleeps(root, files, REVIEWED_SLEEPS)


def unreviewed_sleeps(root: Path, files: list[PurePosixPath]) -> Iterator[str]:
    return house_rules.sleeps(root, files, {})


def names(_root: Path, files: list[PurePosixPath]) -> Iterator[str]:
    return house_rules.names_that_say_nothing(files)


def top_level(_root: Path, files: list[PurePosixPath]) -> Iterator[str]:
    return house_rules.strangers_at_the_top(files)


Rule = Callable[[Path, list[PurePosixPath]], Iterator[str]]
RULES: list[Rule] = [
    house_rules.too_long,
    names,
    top_level,
    house_rules.unfinished,
    sleeps,
    house_rules.swallowed,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_to_the_rule(rule: Rule) -> None:
    assert list(rule(CHECKOUT, project_files())) == []


CATCH = "def f():\n    try:\n        g()\n    except {}:\n        {}\n"


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (house_rules.too_long, "vmm_main/long.c", "/* */\n" * 401),
        (house_rules.too_long, "vmm_main/wide.h", "/* " + "x" * 120 + " */\n"),
        (names, "vmm_main/net_utils.py", ""),
        (names, "device_procs/common/ring.c", ""),
        (names, "tests/unit/test_helpers.py", ""),
        (names, "tools/DiskManager/manager.py", ""),
        (top_level, "scratch.txt", ""),
        (top_level, "src/main.py", ""),
        (house_rules.unfinished, "ipc/channel.py", "# TO" + "DO: the rest\n"),
        (house_rules.unfinished, "docs/ipc.md", "FIX" + "ME\n"),
        (unreviewed_sleeps, "tests/unit/test_it.py", "import time\ndef test_it():\n    time.sleep(1)\n"),
        (unreviewed_sleeps, "vmm_main/start.py", "from time import sleep\nsleep(0.1)\n"),
        (house_rules.swallowed, "ipc/channel.py", CATCH.format("Exception", "pass")),
        (house_rules.swallowed, "ipc/channel.py", CATCH.format("(OSError, BaseException)", "return None")),
        (house_rules.swallowed, "ipc/channel.py", CATCH.format("Exception as error", "return 1")),
        (house_rules.swallowed, "ipc/channel.py", "with suppress(Exception):\n    g()\n"),
    ],
)
def test_what_breaks_the_rule_is_found(tmp_path: Path, rule: Rule, path: str, text: str) -> None:
    assert len(list(rule(tmp_path, plant(tmp_path, {path: text})))) == 1


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (house_rules.too_long, "docs/long.md", "line\n" * 401),
        (names, "vmm_main/commonly.py", ""),
        (house_rules.swallowed, "ipc/channel.py", CATCH.format("OSError", "pass")),
        (house_rules.swallowed, "ipc/channel.py", CATCH.format("Exception", "raise")),
        (house_rules.swallowed, "ipc/channel.py", CATCH.format("Exception as error", "log(error)")),
    ],
)
def test_what_is_allowed_is_let_alone(tmp_path: Path, rule: Rule, path: str, text: str) -> None:
    assert list(rule(tmp_path, plant(tmp_path, {path: text}))) == []


def test_a_reviewed_sleep_must_be_there(tmp_path: Path) -> None:
    files = plant(tmp_path, {"tests/test_it.py": "def f():\n    sleep(1)\n"})
    assert list(house_rules.sleeps(tmp_path, files, {"tests/test_it.py:f": "why"})) == []
    gone = list(
        house_rules.sleeps(tmp_path, files, {"tests/test_it.py:f": "why", "tests/test_it.py:g": "why"})
    )
    assert gone == ["tests/test_it.py:g is listed as sleeping, but doesn't"]
