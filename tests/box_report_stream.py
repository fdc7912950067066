"""The inner half of a boxed run: each report of the pytest in the box as a line of JSON, at once.

Between them go empty lines, a heartbeat: from outside a box that is frozen looks like one that is slow.
"""

from __future__ import annotations

import json
import os
import threading

import pytest

HEARTBEAT_S = 10.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--report-stream",
        type=int,
        metavar="FD",
        help="write each test's report to this descriptor as a line of JSON (used by tests/boxed_layers.py)",
    )


def pytest_configure(config: pytest.Config) -> None:
    descriptor = config.getoption("--report-stream")
    if descriptor is not None:
        config.pluginmanager.register(_ReportStream(config, descriptor))


class _ReportStream:
    def __init__(self, config: pytest.Config, descriptor: int) -> None:
        self._config = config
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            self._write(b"\n")

    def pytest_unconfigure(self) -> None:
        self._ended.set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._write(json.dumps(data).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]
