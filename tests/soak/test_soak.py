"""Three minutes of everything at random, from a seed that is printed first (tools/soak)."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.soaking.plan import ACTIONS, ENDS

SOAK = Path(__file__).resolve().parents[2] / "tools" / "soak"
MINUTES, MINUTES_IN_FULL = 3, 30


def counts_of(summary: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"^([a-z-]+): (\d+)$", summary, re.MULTILINE)}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[dict[str, str]]:
    yield {**os.environ, "TMPDIR": str(tmp_path)}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(3600)
def test_everything_at_random(full: bool, program: dict[str, str]) -> None:
    minutes = MINUTES_IN_FULL if full else MINUTES
    ran = subprocess.run(
        [SOAK, str(minutes / 60), "--verbose"], capture_output=True, text=True, check=False, env=program
    )
    print(ran.stdout + ran.stderr)  # what pytest shows of a test that fails
    assert ran.returncode == 0
    counts = counts_of(ran.stdout)
    assert all(counts[name] > 0 for name in (*ACTIONS, *ENDS)), counts
    found_again = re.search(r"^sectors written, flushed and found again: (\d+)$", ran.stdout, re.MULTILINE)
    assert found_again is not None
    assert int(found_again[1]) > 1000


@pytest.mark.timeout(120)
def test_ctrl_c_ends_it_with_the_summary(program: dict[str, str]) -> None:
    command = [str(SOAK), "1", "--seed", "5", "--verbose"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=program, text=True) as soak:
        assert soak.stdout is not None
        assert soak.stdout.readline() == "seed: 5\n"
        seen = ""
        while "step 2" not in seen:
            assert select.select([soak.stdout], [], [], 60)[0], seen
            seen = soak.stdout.readline()
        soak.send_signal(signal.SIGINT)
        rest = soak.stdout.read()
        assert soak.wait(60) == 0
    assert "interrupted" in rest
    assert counts_of(rest)["start"] == 1


@pytest.mark.timeout(120)
def test_the_seed_repeats_the_decisions(program: dict[str, str]) -> None:
    """Of a run that ended for another reason than the first: as far as both went they are the same."""
    runs = []
    for hours in ("0.002", "0.001"):
        command = [SOAK, hours, "--seed", "11", "--verbose"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, env=program)
        runs.append([line for line in ran.stdout.splitlines() if "step" in line])
    shorter = min(map(len, runs))
    assert shorter > 0
    assert runs[0][:shorter] == runs[1][:shorter]


@pytest.mark.parametrize("hours", ["", "-1", "nan", "long"])
def test_hours_that_are_none(hours: str) -> None:
    ran = subprocess.run([SOAK, *([hours] if hours else [])], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "HOURS" in ran.stderr
