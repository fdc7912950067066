"""Which tests pytest would run: what a page or a table names must be among them.

collect() starts a pytest of its own, which loads this as a plugin, collects and runs nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
OUTPUT_VARIABLE = "BULKHEAD_COLLECTED_TESTS"
_NEVER = ("skip", "skipif", "xfail")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Writes a JSON list of node ids to the file that the environment names, if it names one."""
    if OUTPUT_VARIABLE not in os.environ:
        return
    ids = [item.nodeid for item in session.items if not any(item.get_closest_marker(name) for name in _NEVER)]
    Path(os.environ[OUTPUT_VARIABLE]).write_text(json.dumps(ids), encoding="utf-8")


def collect(paths: Iterable[str], directory: Path) -> set[str]:
    """The node ids of the tests in these files, without any that is marked to be skipped or to fail.

    Args:
        paths: From the checkout.
        directory: For a file.
    """
    output = directory / "collected.json"
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "tests.collected_tests"]
    ran = subprocess.run(
        [*command, *paths],
        cwd=CHECKOUT,
        env={**os.environ, OUTPUT_VARIABLE: str(output)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return set(json.loads(output.read_text(encoding="utf-8")))


def with_and_without_parameters(ids: set[str]) -> set[str]:
    """The same, and each function's name alone."""
    return ids | {node_id.split("[")[0] for node_id in ids}
