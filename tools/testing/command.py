"""Sets the checkout up, then becomes pytest on the layers that are asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.setup import debian_packages
from tools.setup.debian_packages import SetupError
from tools.setup.environment import prepare_environment

CHECKOUT = Path(__file__).resolve().parents[2]
LAYERS = ("unit", "device", "guest", "linux", "contract", "fuzz", "soak", "style")
# What neither shares a boot of the box nor counts the processes and mounts of the whole machine.
SIDE_BY_SIDE = {"unit", "guest", "style"}
MOST_AT_ONCE = 4
KVM = Path("/dev/kvm")

USAGE = f"""usage: tools/test [LAYER ...] [--full] [PYTEST OPTION OR PATH ...]

Set up what tests need, then run the layers ({" ".join(LAYERS)}; default: all) in one run of pytest.
Everything after the layers goes to pytest: tools/test unit -k uart; tools/test tests/unit/qmp.
Of the layers unit, guest and style several tests run at once, unless -n0 is given.
--full runs large repetitions in full instead of a tenth of them. See docs/testing.md.
"""


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The layers that arguments begin with, and the rest, which is pytest's."""
    count = 0
    while count < len(arguments) and arguments[count] in LAYERS:
        count += 1
    return list(arguments[:count]), list(arguments[count:])


def has_tests(directory: Path) -> bool:
    """Whether there is a test file anywhere below."""
    return any(directory.rglob("test_*.py"))


def paths_for_pytest(layers: Sequence[str], rest: Sequence[str], tests: Path) -> list[str]:
    """The directories that pytest is given; none if pytest's own arguments name paths.

    Args:
        layers: Those asked for.
        rest: pytest's arguments.
        tests: The directory of the layers.
    """
    if not layers and any(Path(argument.split("::")[0]).exists() for argument in rest):
        return []
    return [str(tests / layer) for layer in layers or LAYERS if has_tests(tests / layer)]


def side_by_side(layers: Sequence[str], kvm: Path = KVM) -> list[str]:
    """The options by which pytest runs these layers' tests at once; none if it can't, or there is one CPU.

    Args:
        layers: Those asked for; none means all.
        kvm: The device without which the guest layer runs in the box.
    """
    at_once = min(MOST_AT_ONCE, len(os.sched_getaffinity(0)))
    boxed = "guest" in layers and not os.access(kvm, os.R_OK | os.W_OK)
    if not layers or not set(layers) <= SIDE_BY_SIDE or boxed or at_once == 1:
        return []
    return ["-n", str(at_once), "--dist", "loadfile"]


def say(message: str) -> None:
    """A line of progress."""
    print(f"tools/test: {message}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Sets up and runs pytest in this process's place; returns a status only if it can't."""
    if arguments[:1] in (["--help"], ["-h"]):
        print(USAGE, end="")
        return 0
    layers, rest = split_arguments(arguments)
    for layer in layers:
        if not has_tests(CHECKOUT / "tests" / layer):
            say(f"layer {layer} has no tests yet")
    try:
        debian_packages.install_missing(
            [
                *debian_packages.FOR_BUILDING,
                *debian_packages.FOR_THE_GUEST,
                *debian_packages.FOR_THE_BOX,
                *debian_packages.FOR_TESTS,
            ],
            say,
        )
        python = prepare_environment(CHECKOUT, "test", say)
    except SetupError as error:
        say(str(error))
        return 1
    paths = paths_for_pytest(layers, rest, CHECKOUT / "tests")
    if not paths and layers:
        return 1
    os.chdir(CHECKOUT)
    options = [*side_by_side(layers), *rest]
    command = [str(python), "-m", "pytest", *options, *(os.path.relpath(path) for path in paths)]
    sys.stdout.flush()
    return os.execv(command[0], command)
