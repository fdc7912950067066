"""A pytest plugin that writes the node ids it collected, without those that are to be skipped or to fail.

Loaded by `-p tests.contract.collected_tests` in a pytest of its own, which collects and runs nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

OUTPUT_VARIABLE = "BULKHEAD_COLLECTED_TESTS"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Writes a JSON list to the file that the environment names."""
    never = ("skip", "skipif", "xfail")
    ids = [item.nodeid for item in session.items if not any(item.get_closest_marker(name) for name in never)]
    Path(os.environ[OUTPUT_VARIABLE]).write_text(json.dumps(ids), encoding="utf-8")
