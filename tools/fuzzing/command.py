"""The command `tools/fuzz`."""

from __future__ import annotations

import argparse
import fcntl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.build_cache import CacheError
from tools.fuzzing import engine
from tools.fuzzing.c_build import BuildError
from tools.fuzzing.targets import CHECKOUT, Target, all_targets
from tools.setup import debian_packages
from tools.setup.debian_packages import SetupError
from tools.setup.environment import prepare_environment

DESCRIPTION = """Fuzz one of the things that take in foreign bytes, guided by coverage: a device's rings and
requests, control packets, QMP, the command line, the kernel loaders, the registers. It goes on where the
last run has ended. See docs/fuzzing.md."""

EPILOG = """Exit status: 0 nothing was found, 1 a bug was (the input that shows it is named), 2 the target
can't be run."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="tools/fuzz", description=DESCRIPTION, epilog=EPILOG)
    made.add_argument("name", nargs="?", metavar="NAME", help="what to fuzz; --list names all there are")
    made.add_argument("--list", action="store_true", help="list what can be fuzzed, and end")
    how_long = made.add_mutually_exclusive_group()
    how_long.add_argument("--time", type=_seconds, metavar="SECONDS", help="for how long (default: an hour)")
    how_long.add_argument("--minutes", type=_seconds, metavar="MINUTES", help="the same in minutes")
    made.add_argument("--reproduce", type=Path, metavar="FILE", help="run one input and say what it shows")
    made.add_argument(
        "--merge", action="store_true", help="minimise the repository's corpus, with what runs have found"
    )
    made.add_argument(
        "--work",
        type=Path,
        default=CHECKOUT / "build" / "fuzz",
        metavar="DIR",
        help="where corpora grow and crashes are put (default: build/fuzz)",
    )
    return made


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text}: allowed is a number above 0")
    return value


def say(message: str) -> None:
    """A line of progress."""
    print(f"tools/fuzz: {message}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Does what is asked for; returns the status."""
    options = parser().parse_args(arguments)
    targets = {target.name: target for target in all_targets()}
    if options.list:
        print("\n".join(targets))
        return 0
    target = targets.get((options.name or "").replace("_", "-"))
    if target is None:
        say(f"there is no target {options.name!r}; allowed are {', '.join(targets)}")
        return 2
    if options.reproduce is not None and not options.reproduce.is_file():
        say(f"--reproduce {options.reproduce}: allowed is a file, one input")
        return 2
    try:
        debian_packages.install_missing([*debian_packages.FOR_BUILDING, *debian_packages.FOR_FUZZING], say)
        python = prepare_environment(CHECKOUT, "test", say)
        return _run(target, python, options)
    except (SetupError, BuildError, CacheError) as error:
        say(str(error))
        return 2


def _run(target: Target, python: Path, options: argparse.Namespace) -> int:
    place = engine.Workplace(options.work.absolute(), target)
    with (place.corpus.parent / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{target.name} is being fuzzed in {place.corpus.parent} already; allowed is once at a time")
            return 2
        return _run_alone(target, python, place, options)


def _run_alone(target: Target, python: Path, place: engine.Workplace, options: argparse.Namespace) -> int:
    if options.reproduce is not None:
        return 1 if engine.reproduce(target, python, place, options.reproduce.absolute()) else 0
    if options.merge:
        return 2 if engine.merge(target, python, place) else 0
    seconds = options.time or (options.minutes * 60 if options.minutes else 3600)
    say(f"{target.name} for {seconds:g} s; its corpus grows in {place.corpus}, crashes go to {place.crashes}")
    before = set(place.found)
    # Its own output is the terminal's: who watches sees new coverage as it comes.
    process: subprocess.Popen[bytes] = engine.start(target, python, place, seconds, sys.stderr.buffer)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        status = process.wait()  # it has heard the signal too
    for file in place.found:
        if file not in before:
            say(f"found: {file}; to see it again: tools/fuzz {target.name} --reproduce {file}")
    return 1 if status else 0
