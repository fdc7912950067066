"""Runs a target under libFuzzer, whose options both engines understand, and reads what it says of itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools.fuzzing.c_build import build
from tools.fuzzing.targets import CHECKOUT, Target

# An input that takes longer hangs; one that needs more memory has got it from a length that nobody checked.
INPUT_TIMEOUT_S = 20
MEMORY_MIB = 2048
LONGEST_C_INPUT = 1024
LONGEST_PYTHON_INPUT = 4096

# Not how often an edge is passed: thousands of inputs would differ by that alone.
_MERGE = ("-merge=1", "-use_counters=0")
_STATUS = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)


@dataclass(frozen=True)
class Progress:
    """How far a run has come, by its own last words.

    Attributes:
        executions: Inputs that were tried.
        coverage: Edges of the code that any of them has reached.
        features: The same with how often each was passed.
        inputs: Of the corpus that reaches them.
    """

    executions: int
    coverage: int
    features: int
    inputs: int


def progress_in(output: str) -> Progress | None:
    """What the last line of status says, if there is one."""
    found = _STATUS.findall(output)
    return Progress(*map(int, found[-1])) if found else None


def command_for(target: Target, python: Path) -> list[str]:
    """The command that libFuzzer's options follow.

    Args:
        target: What to fuzz.
        python: The environment's, with Atheris.

    Raises:
        BuildError: The target doesn't compile.
    """
    if target.is_c:
        # What lives as long as a process is no leak.
        return [str(build(target)), f"-max_len={LONGEST_C_INPUT}", "-detect_leaks=0"]
    return [str(python), "-m", "tests.fuzz.python_fuzzer", target.module, f"-max_len={LONGEST_PYTHON_INPUT}"]


class Workplace:
    """Where a target's runs leave what they find.

    Attributes:
        corpus: Inputs that reach something new, kept from run to run.
        crashes: Inputs that have shown a bug: each is a file.
        temporary: For files that no run needs again: a fuzzer doesn't come to remove its own.
    """

    def __init__(self, base: Path, target: Target) -> None:
        """Makes it.

        Raises:
            OSError: It can't be made.
        """
        self.corpus = base / target.name / "corpus"
        self.crashes = base / target.name / "crashes"
        self.temporary = base / target.name / "temporary"
        for directory in (self.corpus, self.crashes, self.temporary):
            directory.mkdir(parents=True, exist_ok=True)

    @property
    def found(self) -> list[Path]:
        """The inputs that have shown a bug."""
        return sorted(self.crashes.iterdir())

    @property
    def environment(self) -> dict[str, str]:
        """For what runs here."""
        return {**os.environ, "TMPDIR": str(self.temporary)}

    def empty_temporary(self) -> None:
        """When nothing runs here."""
        shutil.rmtree(self.temporary)
        self.temporary.mkdir()


def _limits(place: Workplace) -> list[str]:
    return [
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-artifact_prefix={place.crashes}/",
    ]


def _corpora(target: Target, place: Workplace) -> list[str]:
    return [str(place.corpus), *([str(target.corpus)] if target.corpus.is_dir() else [])]


def start(
    target: Target, python: Path, place: Workplace, seconds: float, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Begins to fuzz; the process ends after so many seconds with status 0, or at the first bug.

    Args:
        target: What to fuzz.
        python: The environment's.
        place: Where it goes on, and leaves what it finds.
        seconds: For how long; 0 only runs what the corpora hold.
        output: Takes what it says.
    """
    how_long = [f"-max_total_time={seconds:g}"] if seconds else ["-runs=0"]
    command = [*command_for(target, python), *_limits(place), *how_long, *_corpora(target, place)]
    return subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def reproduce(target: Target, python: Path, place: Workplace, file: Path) -> int:
    """Runs one input; returns the status, which is 0 if it shows no bug."""
    command = [*command_for(target, python), *_limits(place), str(file)]
    return subprocess.run(command, cwd=CHECKOUT, env=place.environment, check=False).returncode


def merge(target: Target, python: Path, place: Workplace) -> int:
    """Makes the repository's corpus the smallest that reaches what it and the workplace's reach together."""
    with tempfile.TemporaryDirectory(dir=place.temporary) as smallest:
        command = [*command_for(target, python), *_limits(place), *_MERGE, smallest]
        command += _corpora(target, place)
        ran = subprocess.run(command, cwd=CHECKOUT, env=place.environment, check=False)
        if ran.returncode == 0:
            _replace(target.corpus, Path(smallest))
    return ran.returncode


def _replace(corpus: Path, smallest: Path) -> None:
    """Regressions, which are called by what they were, stay whatever they reach."""
    corpus.mkdir(parents=True, exist_ok=True)
    for old in corpus.iterdir():
        if not old.name.startswith("regression-"):
            old.unlink()
    for new in smallest.iterdir():
        (corpus / new.name[:16]).write_bytes(new.read_bytes())
