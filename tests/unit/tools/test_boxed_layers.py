"""Tests that run in the box show here as if they had run here; a broken box fails those it didn't report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.boxed_layers import BOOTS_AT_MOST, TESTS, boxed_layers
from tools.setup.host_kind import HostKind

CHECKOUT = Path(__file__).parents[3]
RUNS_LINUX = HostKind(True, "it does")
RUNS_NO_LINUX = HostKind(False, "it does not")

# Stands in for tools/kvm_lab/run: skips the options, counts the boots, marks the environment, runs it.
FAKE_LAB = """#!/bin/sh
while [ "$1" != -- ]; do shift; done; shift
echo boot >>boots
IN_THE_BOX=yes "$@" &
trap "kill -9 $!" TERM
wait $!
status=$?
echo "the box says goodbye" >&2
exit $status
"""
CONFTEST = """
from pathlib import Path
from tests.boxed_layers import BoxedLayers
from tools.setup.host_kind import HostKind
pytest_plugins = ["tests.box_report_stream"]
HERE = Path(__file__).parent
def pytest_addoption(parser):
    parser.addoption("--full", action="store_true")
def pytest_configure(config):
    if config.getoption("--report-stream") is None:
        host = HostKind(False, "no Linux here")
        config.pluginmanager.register(BoxedLayers(config, [HERE / "linux"], host, HERE / "lab"))
"""
QUICK = """
from tests import box_report_stream, boxed_layers
box_report_stream.HEARTBEAT_S = {silence_s} / 10
boxed_layers.SILENCE_S = {silence_s}
"""
SAMPLE = """
import os, pytest
def test_runs_inside(): assert os.environ["IN_THE_BOX"] == "yes"
@pytest.mark.parametrize("number", [1, 2])
def test_numbers(number): assert number == 1, "two is too many"
@pytest.fixture
def breaks_at_the_end():
    yield
    raise RuntimeError("torn down badly")
def test_teardown(breaks_at_the_end): pass
"""
FREEZES = """
import os, signal
from pathlib import Path
def test_first(): pass
def test_freezes():
    if len(Path("boots").read_text().splitlines()) == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
def test_last(): pass
"""

# Without the heartbeat this would look frozen.
SLOW = "import threading\ndef test_slow(): threading.Event().wait(2)\n"

ALWAYS_BREAKS = """
import os, pytest
@pytest.mark.parametrize("number", range(20))
def test_breaks(number): os._exit(9)
"""

BREAKS_THE_BOX = "import os\ndef test_a(): pass\ndef test_b(): os._exit(9)\ndef test_c(): pass\n"

FAILS_ONCE = """
from pathlib import Path
def test_second_time(): assert len(Path("boots").read_text().splitlines()) > 1
def test_always(): pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "lab").write_text(FAKE_LAB)
    (tmp_path / "lab").chmod(0o755)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "linux").mkdir()
    (tmp_path / "test_outside.py").write_text(
        "import os\ndef test_outside(): assert 'IN_THE_BOX' not in os.environ\n"
    )
    return tmp_path


def _pytest(project: Path, *arguments: str, silence_s: float | None = None) -> tuple[int, str]:
    if silence_s is not None:
        (project / "conftest.py").write_text(CONFTEST + QUICK.format(silence_s=silence_s))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", f"--rootdir={project}", "-v", *arguments],
        cwd=project,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT), "BULKHEAD_GUEST_IMAGE": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_reports_come_out_of_the_box(project: Path) -> None:
    (project / "linux" / "test_sample.py").write_text(SAMPLE)
    status, output = _pytest(project)
    assert status == 1
    assert "1 failed, 4 passed, 1 error" in output
    assert "two is too many" in output
    assert "torn down badly" in output
    assert "no Linux here: using the KVM host in a box" in output
    assert (project / "boots").read_text() == "boot\n" * 4, "a new one after a failure"
    assert "passed in a second one" not in output


def test_what_fails_in_one_boot_only_passes_and_is_told(project: Path) -> None:
    (project / "linux" / "test_sample.py").write_text(FAILS_ONCE)
    status, output = _pytest(project)
    assert (status, "3 passed" in output) == (0, True), output
    assert (project / "boots").read_text() == "boot\n" * 3
    assert "failed in one boot of the box, passed in a second one ===" in output
    assert "\nlinux/test_sample.py::test_second_time\n" in output


def test_only_selected_tests_go_into_the_box(project: Path) -> None:
    (project / "linux" / "test_sample.py").write_text(SAMPLE)
    status, output = _pytest(project, "-k", "inside")
    assert (status, "1 passed, 4 deselected" in output) == (0, True), output
    _pytest(project, "-k", "outside")
    assert (project / "boots").read_text() == "boot\n", "nothing to run in the box, no box"


def test_broken_box_fails_what_it_did_not_report(project: Path) -> None:
    (project / "linux" / "test_sample.py").write_text(BREAKS_THE_BOX)
    status, output = _pytest(project)
    assert status == 1
    assert "1 failed, 3 passed" in output
    assert "no report of this test: the box ended with status 9" in output
    assert "the box says goodbye" in output
    assert (project / "boots").read_text() == "boot\n" * 3, "the tests that were left and a second try"


def test_frozen_box_is_given_up(project: Path) -> None:
    (project / "linux" / "test_sample.py").write_text(FREEZES)
    status, output = _pytest(project, silence_s=1.0)
    assert (status, "4 passed" in output) == (0, True), output
    assert (project / "boots").read_text() == "boot\n" * 3


def test_slow_test_is_no_frozen_box(project: Path) -> None:
    (project / "linux" / "test_sample.py").write_text(SLOW)
    status, output = _pytest(project, silence_s=1.0)
    assert (status, "2 passed" in output) == (0, True), output
    assert (project / "boots").read_text() == "boot\n"


def test_boots_are_bounded(project: Path) -> None:
    (project / "linux" / "test_sample.py").write_text(ALWAYS_BREAKS)
    status, output = _pytest(project)
    assert (status, "20 failed, 1 passed" in output) == (1, True), output
    assert (project / "boots").read_text() == "boot\n" * BOOTS_AT_MOST
    assert f"{BOOTS_AT_MOST} boots of the box are used up" in output


def test_which_layers_run_in_the_box(tmp_path: Path) -> None:
    kvm = tmp_path / "kvm"
    everything = [TESTS / layer for layer in ("linux", "guest", "contract", "soak")]
    assert boxed_layers("auto", RUNS_NO_LINUX, kvm) == everything
    kvm.touch()
    assert boxed_layers("auto", RUNS_NO_LINUX, kvm) == [TESTS / "linux"]
    assert boxed_layers("auto", RUNS_LINUX, kvm) == []
    assert boxed_layers("always", RUNS_LINUX, kvm) == [TESTS / "linux"]
    assert boxed_layers("never", RUNS_NO_LINUX, kvm) == []
