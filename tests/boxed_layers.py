"""Runs the linux layer in the KVM host in a box where this machine's /dev/kvm can't run Linux.

All of the layer's selected tests share one boot: when the first of them is due, the box starts with a pytest
of its own for all of them, which hands back every report as a line of JSON. Here each test is shown with that
report, as if it had run here.

The software CPU's virtualisation now and then loses a guest or the whole box (docs/testing.md). So what fails
is run once more, and said to have needed it; what fails twice fails. A boot that broke, fell silent or had a
failure isn't used any further: the tests that are left get a new one, and there is a bound on boots.

The guest, contract and soak layers, which need any kind of /dev/kvm, go the same way where there is none.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tools.guest_image.image import guest_image
from tools.root_disk.disk import root_disk
from tools.setup.host_kind import HostKind, host_kind

TESTS = Path(__file__).parent
LAB = TESTS.parent / "tools" / "kvm_lab" / "run"
BOX_TIMEOUT_S = 1500
BOOTS_AT_MOST = 8
# The pytest in the box sends a heartbeat every few seconds (box_report_stream.py); a frozen box sends none.
# A process that can't be killed in a box that is half alive stops only its test.
SILENCE_S = 90.0
HEARTBEAT = b"\n"
TEST_LIMIT_S = 480.0
TEST_LIMIT_FULL_S = 3600.0
BOX_TIMEOUT_FULL_S = 4 * 3600
# The tests' fixtures find the guest's files by this: in the box, asking apt for what is current takes long.
GUEST_IMAGE_VARIABLE = "BULKHEAD_GUEST_IMAGE"
ROOT_DISK_VARIABLE = "BULKHEAD_ROOT_DISK"


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
        kvm: The device that the guest, contract and soak layers need.
    """
    if choice == "never" or (choice == "auto" and host.runs_linux):
        return []
    layers = ("linux",) if os.access(kvm, os.R_OK | os.W_OK) else ("linux", "guest", "contract", "soak")
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
        self._boots = 0
        self._items: list[pytest.Item] = []
        # Tests that failed in their first boot, and those of them that passed in a second.
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
        self._items = boxed

    def pytest_report_header(self) -> str | None:
        return f"{self._host.sentence}: using the KVM host in a box" if self._layers else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not self._is_boxed(item):
            return None
        first = self._items.index(item)
        reports = self._reports_of(item, self._items[first:])
        if any(report.failed for report in reports):
            self._again.append(item)
        else:
            _show(item, reports)
        if item is self._items[-1]:
            self._run_again()
        return True

    def _run_again(self) -> None:
        """What failed is run once more, in a boot of its own; what fails twice fails."""
        self._end_boot()
        for first, item in enumerate(self._again):
            reports = self._reports_of(item, self._again[first:])
            if not any(report.failed for report in reports):
                self._passed_then.append(item.nodeid)
            _show(item, reports)

    def _reports_of(self, item: pytest.Item, left: list[pytest.Item]) -> list[pytest.TestReport]:
        """One test's reports, from the boot that runs or from a new one for all that are left."""
        if self._run is None:
            if self._boots == BOOTS_AT_MOST:
                return [_no_report(item, f"{BOOTS_AT_MOST} boots of the box are used up")]
            self._boots += 1
            self._run = BoxedRun(self._config, [other.nodeid for other in left], self._lab)
        reports = self._run.reports_of(item)
        if any(report.failed for report in reports):
            self._end_boot()
        return reports

    def _end_boot(self) -> None:
        if self._run is not None:
            self._run.end()
            self._run = None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._passed_then:
            terminalreporter.section("failed in one boot of the box, passed in a second one")
            for node_id in self._passed_then:
                terminalreporter.line(node_id)

    def pytest_sessionfinish(self) -> None:
        self._end_boot()


def _no_report(item: pytest.Item, why: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=f"no report of this test: {why}",
        when="call",
    )


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
        self._unread = b""
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
        self._test_limit_s = TEST_LIMIT_FULL_S if full else TEST_LIMIT_S
        if ROOT_DISK_VARIABLE not in environment and any("tests/linux/" in each for each in node_ids):
            environment[ROOT_DISK_VARIABLE] = str(root_disk())
        self._process = subprocess.Popen(
            [str(lab), "--timeout", str(limit_s), "--", *command],
            cwd=config.rootpath,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def reports_of(self, item: pytest.Item) -> list[pytest.TestReport]:
        """The reports of one test's phases; waits for them, or makes one that says what became of the box."""
        limit = time.monotonic() + self._test_limit_s
        while not self._is_complete(item.nodeid):
            line = self._next_line(min(SILENCE_S, limit - time.monotonic()))
            if line is None and time.monotonic() < limit:
                return self._none_of(item, f"the box has been silent for {SILENCE_S:g} s")
            if line is None:
                return self._none_of(item, f"it has run for {self._test_limit_s:g} s")
            if not line:
                return self._none_of(item, f"the box ended with status {self._process.wait()}")
            if line != HEARTBEAT:
                report = self._config.hook.pytest_report_from_serializable(
                    config=self._config, data=json.loads(line)
                )
                self._reports.setdefault(report.nodeid, []).append(report)
        return self._reports[item.nodeid]

    def _next_line(self, deadline_s: float) -> bytes | None:
        """The next line from the box, empty at its end, None if none comes in time."""
        if self._process.stdout is None:
            raise AssertionError("the box's output is a pipe")
        descriptor = self._process.stdout.fileno()
        until = time.monotonic() + deadline_s
        while b"\n" not in self._unread:
            if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
                return None
            data = os.read(descriptor, 65536)
            if not data:
                return b""
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        return line + b"\n"

    def _is_complete(self, node_id: str) -> bool:
        reports = self._reports.get(node_id, [])
        return bool(reports) and reports[-1].when == "teardown"

    def _none_of(self, item: pytest.Item, why: str) -> list[pytest.TestReport]:
        self._errors.seek(0)
        said = self._errors.read()[-8000:].decode("utf-8", "replace")
        failed = _no_report(item, f"{why}; the box said last:\n{said}")
        return [*self._reports.get(item.nodeid, []), failed]

    def end(self) -> None:
        """Ends the box if tests are still running in it, and waits for its power-off."""
        if self._process.stdout is not None:
            if not all(self._is_complete(node_id) for node_id in self._node_ids):
                self._process.terminate()
            self._process.stdout.close()
        self._process.wait()
        self._errors.close()
