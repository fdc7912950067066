"""How a command ends by a signal: it cleans up first, and ends whatever it has started."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from tests.started_processes import WITH_DEFAULT_SIGNALS, processes_with

pytestmark = pytest.mark.timeout(60)

CHECKOUT = Path(__file__).resolve().parents[3]
CLEANS_UP = """
import os, signal, sys
from tools.ended_by_signal import ended_by_signal
with ended_by_signal((signal.SIGTERM, signal.SIGHUP)):
    try:
        print("up", flush=True)
        while True:
            signal.pause()
    finally:
        print("cleans up", flush=True)
        sys.stdin.read()
        print("has cleaned up", flush=True)
"""
# A child that hears no signal and lets go of its own child, which does the same.
HAS_DESCENDANTS = """
import os, signal, sys
from tools.descendants import adopt_orphans, end_children, orphans
deaf = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
adopt_orphans()
for shell in ('"$0" -c "$1" "$2" &', 'exec "$0" -c "$1" "$2"'):
    os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", shell, sys.executable, deaf, sys.argv[1])
input()
print(end_children(30), orphans(0), flush=True)
"""


def python(program: str, *arguments: str) -> Popen[str]:
    words = [*WITH_DEFAULT_SIGNALS, sys.executable, "-c", program, *arguments]
    return Popen(words, stdin=PIPE, stdout=PIPE, text=True, cwd=CHECKOUT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_cleans_up_and_ends_by_it(number: signal.Signals) -> None:
    with python(CLEANS_UP) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.stdout.readline() == "cleans up\n"
        for again in (signal.SIGTERM, signal.SIGHUP):  # in vain
            process.send_signal(again)
        assert process.communicate()[0] == "has cleaned up\n"
        assert process.returncode == -number


def test_what_is_ignored_stays_ignored() -> None:
    ignores = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    with python(ignores + CLEANS_UP) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == -signal.SIGTERM


def test_handlers_are_as_before() -> None:
    program = (
        "import signal; from tools.ended_by_signal import ended_by_signal\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        "with ended_by_signal([signal.SIGINT]): assert signal.getsignal(signal.SIGINT) is not before\n"
        "print(signal.getsignal(signal.SIGINT) is before)"
    )
    with python(program) as process:
        assert process.communicate()[0] == "True\n"


def test_all_that_it_has_started_ends(tmp_path: Path) -> None:
    """The command itself names the directory too."""
    with python(HAS_DESCENDANTS, str(tmp_path)) as process:
        while sum("signal.pause" in command for command in processes_with(str(tmp_path))) < 3:
            assert process.poll() is None
        assert process.communicate("\n")[0] == "[] []\n"
        assert process.returncode == 0
    assert processes_with(str(tmp_path)) == []
