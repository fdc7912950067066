"""Runs the linux layer in the KVM host in a box where this machine's /dev/kvm can't run Linux.

All of the layer's selected tests share one boot: when the first of them is due, the box starts with a pytest
of its own for all of them, which hands back every report as a line of JSON. Here each test is shown with that
report, as if it had run here. If the box breaks, every test that has no report yet fails with what the box
said last. What failed is run once more in a second boot, and said to have needed it.

The guest and contract layers, which need any kind of /dev/kvm, go the same way where there is none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tools.guest_image.image import guest_image
from tools.setup.host_kind import HostKind, host_kind

TESTS = Path(__file__).parent
LAB = TESTS.parent / "tools" / "kvm_lab" / "run"
BOX_TIMEOUT_S = 1500
BOX_TIMEOUT_FULL_S = 4 * 3600
# The tests' fixtures find the guest's files by this: in the box, asking apt for what is current takes long.
GUEST_IMAGE_VARIABLE = "BULKHEAD_GUEST_IMAGE"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--box",
        choices=["auto", "always", "never"],
        default="auto",
        help="run the linux layer in the box where /dev/kvm can't run Linux (default), always, or never",
    )


def boxed_layers(choice: str, host: HostKind, kvm: Path = Path("/dev/kvm")) -> list[Path]:
    """The layers that run in the box.

    Args:
        choice: The value of --box.
        host: What this machine's KVM is good for.
        kvm: The device that the guest and contract layers need.
    """
    if choice == "never" or (choice == "auto" and host.runs_linux):
        return []
    layers = ("linux",) if os.access(kvm, os.R_OK | os.W_OK) else ("linux", "guest", "contract")
    return [TESTS / layer for layer in layers]


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--report-stream") is None:
        host = host_kind()
        layers = boxed_layers(config.getoption("--box"), host)
        config.pluginmanager.register(BoxedLayers(config, layers, host))


class BoxedLayers:
    """Shows the tests of some layers with the reports of the pytest in the box."""

    def __init__(self, config: pytest.Config, layers: list[Path], host: HostKind, lab: Path = LAB) -> None:
        self._lab = lab
        self._config = config
        self._layers = layers
        self._host = host
        self._run: BoxedRun | None = None
        self._left = 0
        # Tests that failed in the first boot, and those of them that passed in the second.
        self._again: list[pytest.Item] = []
        self._passed_then: list[str] = []

    def _is_boxed(self, item: pytest.Item) -> bool:
        return any(item.path.is_relative_to(layer) for layer in self._layers)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        boxed = [item for item in items if self._is_boxed(item)]
        for item in boxed:
            # Its time is measured where it runs; here the first one would have to include the boot.
            item.add_marker(pytest.mark.timeout(0), append=False)
        items[:] = [item for item in items if not self._is_boxed(item)] + boxed

    def pytest_report_header(self) -> str | None:
        return f"{self._host.sentence}: using the KVM host in a box" if self._layers else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not self._is_boxed(item):
            return None
        if self._run is None:
            node_ids = [other.nodeid for other in item.session.items if self._is_boxed(other)]
            self._left = len(node_ids)
            self._run = BoxedRun(self._config, node_ids, self._lab)
        self._left -= 1
        reports = self._run.reports_of(item)
        if any(report.failed for report in reports):
            self._again.append(item)
        else:
            _show(item, reports)
        if self._left == 0 and self._again:
            self._run_again()
        return True

    def _run_again(self) -> None:
        """What failed is run once more, in a boot of its own; what fails twice fails.

        In some boots of the box guests stall for minutes, for a reason that isn't found yet.
        """
        if self._run is None:
            raise AssertionError("nothing has failed without a run")
        self._run.end()
        self._run = BoxedRun(self._config, [item.nodeid for item in self._again], self._lab)
        for item in self._again:
            reports = self._run.reports_of(item)
            if not any(report.failed for report in reports):
                self._passed_then.append(item.nodeid)
            _show(item, reports)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._passed_then:
            terminalreporter.section("failed in the box's first boot, passed in a second one")
            for node_id in self._passed_then:
                terminalreporter.line(node_id)

    def pytest_sessionfinish(self) -> None:
        if self._run is not None:
            self._run.end()


def _show(item: pytest.Item, reports: list[pytest.TestReport]) -> None:
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


class BoxedRun:
    """One boot of the box with a pytest in it."""

    def __init__(self, config: pytest.Config, node_ids: list[str], lab: Path) -> None:
        self._config = config
        self._reports: dict[str, list[pytest.TestReport]] = {}
        self._node_ids = node_ids
        self._errors = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed by end()
        full = config.getoption("--full")
        limit_s = BOX_TIMEOUT_FULL_S if full else BOX_TIMEOUT_S
        inner = [sys.executable, "-m", "pytest", "--report-stream=3", "-p", "no:cacheprovider"]
        inner += ["-p", "pytest_timeout", *(["--full"] if full else []), *node_ids]
        # Standard output is the report stream; what pytest prints goes to standard error.
        command = ["sh", "-c", 'exec "$@" 3>&1 1>&2', "sh", *inner]
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        if GUEST_IMAGE_VARIABLE not in environment:
            environment[GUEST_IMAGE_VARIABLE] = str(guest_image().directory)
        self._process = subprocess.Popen(
            [str(lab), "--timeout", str(limit_s), "--", *command],
            cwd=config.rootpath,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def reports_of(self, item: pytest.Item) -> list[pytest.TestReport]:
        """The reports of one test's phases; waits for them, or makes one that says how the box ended."""
        if self._process.stdout is None:
            raise AssertionError("the box's output is a pipe")
        while not self._is_complete(item.nodeid):
            line = self._process.stdout.readline()
            if not line:
                return [*self._reports.get(item.nodeid, []), self._box_ended(item)]
            report = self._config.hook.pytest_report_from_serializable(
                config=self._config, data=json.loads(line)
            )
            self._reports.setdefault(report.nodeid, []).append(report)
        return self._reports[item.nodeid]

    def _is_complete(self, node_id: str) -> bool:
        reports = self._reports.get(node_id, [])
        return bool(reports) and reports[-1].when == "teardown"

    def _box_ended(self, item: pytest.Item) -> pytest.TestReport:
        status = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read()[-8000:].decode("utf-8", "replace")
        return pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="failed",
            longrepr=f"the box ended with status {status} and no report of this test; it said last:\n{said}",
            when="call",
        )

    def end(self) -> None:
        """Ends the box if tests are still running in it, and waits for its power-off."""
        if self._process.stdout is not None:
            if not all(self._is_complete(node_id) for node_id in self._node_ids):
                self._process.terminate()
            self._process.stdout.close()
        self._process.wait()
        self._errors.close()
