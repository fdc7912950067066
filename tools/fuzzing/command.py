"""The command `tools/fuzz`."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.build_cache import CacheError
from tools.descendants import adopt_orphans, end_children
from tools.ended_by_signal import ended_by_signal
from tools.fuzzing import engine
from tools.fuzzing.c_build import BuildError
from tools.fuzzing.targets import CHECKOUT, Target, all_targets
from tools.setup import debian_packages
from tools.setup.debian_packages import SetupError
from tools.setup.environment import prepare_environment

STATUS_FOUND, STATUS_NOT_RUN = 1, 2
LONGEST = 1_000_000
ENDED_WITHIN_S = 10.0

DESCRIPTION = """Fuzz one of the things that take in foreign bytes, guided by coverage: a device's rings and
requests, control packets, QMP, the command line, the kernel loaders, the registers. It goes on where the
last run has ended. See docs/fuzzing.md."""

EPILOG = """Exit status: 0 nothing was found, 1 a bug was (the input that shows it is named), 2 the target
can't be run. SIGINT, SIGTERM and SIGHUP end it, with all that it has started."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="tools/fuzz", description=DESCRIPTION, epilog=EPILOG)
    made.add_argument("name", nargs="?", metavar="NAME", help="what to fuzz; --list names all there are")
    made.add_argument("--list", action="store_true", help="list what can be fuzzed, and end")
    how_long = made.add_mutually_exclusive_group()
    how_long.add_argument("--time", type=_seconds, metavar="SECONDS", help="for how long (default: an hour)")
    how_long.add_argument("--minutes", type=_seconds, metavar="MINUTES", help="the same in minutes")
    instead = made.add_mutually_exclusive_group()
    instead.add_argument("--reproduce", type=Path, metavar="FILE", help="run one input and say what it shows")
    instead.add_argument(
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
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < LONGEST:
        raise argparse.ArgumentTypeError(f"{text}: allowed is a number above 0 and below {LONGEST:,}")
    return value


def say(message: str) -> None:
    """A line of progress."""
    print(f"tools/fuzz: {message}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Does what is asked for; returns the status."""
    options = parser().parse_args(arguments)
    targets = {target.name: target for target in all_targets()}
    if options.list and options.name is None:
        print("\n".join(targets))
        return 0
    if options.list:
        say(f"--list and NAME {options.name!r}: allowed is one of them")
        return STATUS_NOT_RUN
    allowed = f"allowed are {', '.join(targets)}"
    if options.name is None:
        say(f"NAME is missing: {allowed}")
        return STATUS_NOT_RUN
    target = targets.get(options.name.replace("_", "-"))
    if target is None:
        say(f"NAME {options.name!r}: {allowed}")
        return STATUS_NOT_RUN
    if options.reproduce is not None and not options.reproduce.is_file():
        say(f"--reproduce {options.reproduce}: allowed is a file, one input")
        return STATUS_NOT_RUN
    try:
        place = engine.Workplace(options.work.absolute(), target)
        lock = (place.corpus.parent / "lock").open("w")
    except OSError as error:
        say(f"--work {options.work}: {error.filename}: {error.strerror}; allowed is a directory to write to")
        return STATUS_NOT_RUN
    with lock, ended_by_signal((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{target.name} is being fuzzed in {place.corpus.parent} already; allowed is once at a time")
            return STATUS_NOT_RUN
        os.environ |= place.environment  # a compiler that is killed leaves files, too
        adopt_orphans()
        try:
            return _run(target, place, options)
        finally:
            left = end_children(ENDED_WITHIN_S)
            place.empty_temporary()
            if left:
                say("; ".join(left))


def _run(target: Target, place: engine.Workplace, options: argparse.Namespace) -> int:
    """Installs what is missing, and runs it; the caller ends what is left running."""
    try:
        debian_packages.install_missing([*debian_packages.FOR_BUILDING, *debian_packages.FOR_FUZZING], say)
        python = prepare_environment(CHECKOUT, "test", say)
        if options.reproduce is not None:
            shows = engine.reproduce(target, python, place, options.reproduce.absolute())
            say(f"{target.name}: {options.reproduce} shows {'a bug' if shows else 'nothing'}")
            return STATUS_FOUND if shows else 0
        if options.merge:
            return STATUS_NOT_RUN if engine.merge(target, python, place) else 0
        seconds = options.time or (options.minutes * 60 if options.minutes else 3600)
        return _fuzz(target, python, place, seconds)
    except (SetupError, BuildError, CacheError) as error:
        say(str(error))
        return STATUS_NOT_RUN


def _fuzz(target: Target, python: Path, place: engine.Workplace, seconds: float) -> int:
    say(f"{target.name} for {seconds:g} s; its corpus grows in {place.corpus}, crashes go to {place.crashes}")
    before = set(place.found)
    # Its own output is the terminal's: who watches sees new coverage as it comes.
    process: subprocess.Popen[bytes] = engine.start(target, python, place, seconds, sys.stderr.buffer)
    try:
        status = process.wait()
    finally:
        for file in place.found:
            if file not in before:
                say(f"found: {file}; to see it again: tools/fuzz {target.name} --reproduce {file}")
    if status:
        return STATUS_FOUND
    say(f"{target.name}: nothing was found")
    return 0
