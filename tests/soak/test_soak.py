"""Three minutes of everything at random, from a seed that is shown first (tools/soak)."""

from __future__ import annotations

import os
import random
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest

from tests.started_processes import WITH_DEFAULT_SIGNALS, processes_with
from tools.soaking.plan import ACTIONS, ENDS

CHECKOUT = Path(__file__).resolve().parents[2]
SOAK = CHECKOUT / "tools" / "soak"
MINUTES, MINUTES_IN_FULL = 3, 30


def counts_of(summary: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"^([a-z-]+): (\d+)$", summary, re.MULTILINE)}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[dict[str, str]]:
    yield {**os.environ, "TMPDIR": str(tmp_path)}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(3600)
def test_everything_at_random(
    full: bool,
    program: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    minutes, seed = MINUTES_IN_FULL if full else MINUTES, random.SystemRandom().getrandbits(32)
    command = [str(SOAK), str(minutes / 60), "--verbose", "--seed", str(seed)]
    with capsys.disabled():  # whatever becomes of this process, somebody has seen it
        print(f"\n{shlex.join(command)}", flush=True)
    output = tmp_path_factory.mktemp("said") / "said"
    with output.open("wb") as file, Popen(command, stdout=file, stderr=STDOUT, env=program) as soak:
        try:
            soak.wait()
        finally:  # also when this test's time is up
            soak.terminate()
            soak.wait()
            said = output.read_text(encoding="utf-8", errors="replace")
            print(said)  # what pytest shows of a test that fails
    assert soak.returncode == 0
    counts = counts_of(said)
    assert all(counts[name] > 0 for name in (*ACTIONS, *ENDS)), counts
    found_again = re.search(r"^sectors written, flushed and found again: (\d+)$", said, re.MULTILINE)
    assert found_again is not None
    assert int(found_again[1]) > 1000


@pytest.mark.timeout(120)
def test_the_seed_is_seen_before_anything_happens(tmp_path: Path) -> None:
    """A pytest that ends in the middle has shown the command that repeats the soak, and has ended it."""
    words = [*WITH_DEFAULT_SIGNALS, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--box=never"]
    words += [f"--basetemp={tmp_path / 'inner'}", f"{__file__}::{test_everything_at_random.__name__}"]
    with Popen(words, stdout=PIPE, text=True, cwd=CHECKOUT) as inner:
        assert inner.stdout is not None
        seen: list[str] = []
        try:
            while not seen or not re.fullmatch(rf"{SOAK} \S+ --verbose --seed \d+\n", seen[-1]):
                seen.append(inner.stdout.readline())
                assert seen[-1], seen
            while not list(tmp_path.glob("inner/*/bulkhead-soak-*")):
                assert inner.poll() is None
        finally:
            inner.send_signal(signal.SIGINT)
        assert "no tests ran" in inner.stdout.read()
    assert processes_with(str(tmp_path)) == []
    assert list(tmp_path.glob("inner/*/bulkhead-soak-*")) == []


@pytest.mark.timeout(120)
def test_ctrl_c_ends_it_with_the_summary(program: dict[str, str]) -> None:
    command = [str(SOAK), "1", "--seed", "5", "--verbose"]
    with Popen(command, stdout=PIPE, env=program, text=True) as soak:
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
    slowest = re.search(r"^slowest answer of QMP: (\S+) s$", rest, re.MULTILINE)
    assert slowest is not None
    assert float(slowest[1]) > 0  # of a VM that hasn't come to its end, too


@pytest.mark.timeout(120)
@pytest.mark.parametrize("when", ["seed: ", "VM 1, step 2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing(number: signal.Signals, when: str, program: dict[str, str]) -> None:
    """While the guest is built, and while a VM runs; the status says by which it ended."""
    command = [*WITH_DEFAULT_SIGNALS, str(SOAK), "1", "--seed", "5", "--verbose"]
    with Popen(command, stdout=PIPE, stderr=PIPE, env=program, text=True, start_new_session=True) as soak:
        assert soak.stdout is not None
        assert soak.stderr is not None
        while not (line := soak.stdout.readline()).startswith(when):
            assert line, "it has ended"
        soak.send_signal(number)
        soak.send_signal(number)  # who is in a hurry sends it twice
        assert soak.wait(60) == -number
        assert "Traceback" not in soak.stderr.read()
    assert processes_with(program["TMPDIR"]) == []


@pytest.mark.timeout(120)
def test_ctrl_c_while_the_guest_is_built(program: dict[str, str]) -> None:
    with Popen([str(SOAK), "1"], stdout=PIPE, stderr=PIPE, env=program, text=True) as soak:
        assert soak.stdout is not None
        assert soak.stderr is not None
        assert soak.stdout.readline().startswith("seed: ")
        while not any("guest_pvh.elf" in command for command in processes_with(program["TMPDIR"])):
            assert soak.poll() is None
        soak.send_signal(signal.SIGINT)
        assert soak.wait(60) == 0
        assert "Traceback" not in soak.stderr.read()


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
