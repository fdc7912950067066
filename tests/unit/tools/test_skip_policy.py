"""Unreviewed skips and expected failures fail, in a pytest of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import skip_policy

CHECKOUT = Path(__file__).parents[3]


def _pytest(directory: Path, test: str) -> tuple[int, str]:
    (directory / "test_sample.py").write_text(f"import pytest\n{test}\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.skip_policy",
        "-p",
        "no:cacheprovider",
        str(directory),
    ]
    ran = subprocess.run(
        [*command, "-c", "/dev/null", f"--rootdir={directory}"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return ran.returncode, ran.stdout


@pytest.mark.parametrize(
    "test",
    [
        "def test_x(): pytest.skip('no time')",
        "@pytest.mark.skip(reason='no time')\ndef test_x(): pass",
        "pytest.skip('no time', allow_module_level=True)",
        "@pytest.mark.xfail(reason='no time')\ndef test_x(): assert False",
        "@pytest.mark.xfail(reason='no time')\ndef test_x(): pass",
    ],
)
def test_what_does_not_run_fails(tmp_path: Path, test: str) -> None:
    status, output = _pytest(tmp_path, test)
    assert status != 0
    assert "no time" in output
    assert "skipped" not in output.splitlines()[-1]


def test_what_runs_passes(tmp_path: Path) -> None:
    status, output = _pytest(tmp_path, "def test_x(): pass")
    assert (status, "1 passed" in output) == (0, True)


def test_reviewed_reasons_pass_except_in_the_linux_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skip_policy, "REVIEWED_SKIPS", ("the host has no tap",))
    tests = CHECKOUT / "tests"
    assert skip_policy.skip_is_reviewed("Skipped: the host has no tap", tests / "device" / "test_net.py")
    assert not skip_policy.skip_is_reviewed("Skipped: the host has no tap", tests / "linux" / "test_net.py")
    assert not skip_policy.skip_is_reviewed("Skipped: the host has no disk", tests / "device" / "test_net.py")
