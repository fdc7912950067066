"""Another C library's calls under main's and its vCPU threads' profiles."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from seccomp_profiles.compile_profiles import system_call_number
from tests.device.sandbox.other_ways import ANSWERED, MADE, OTHER_WAYS, PROFILES, REFUSED, OtherWay

CHECKOUT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("main_calls_program.py")


def wrong_results(profile: str, ways: list[OtherWay]) -> list[str]:
    calls = [(system_call_number(way.name), way.arguments) for way in ways]
    ran = subprocess.run(
        [sys.executable, PROGRAM, CHECKOUT, profile, json.dumps(calls)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = ran.stderr.splitlines()
    wrong = []
    for way, status in zip(ways, json.loads(ran.stdout), strict=True):
        verdict = way.verdict(profile)
        expected = {MADE: way.error, ANSWERED: errno.ENOSYS, REFUSED: 128 + signal.SIGSYS}[verdict]
        said = f"refused system call {way.name} (" in " ".join(told)
        if status != expected or said != (verdict == REFUSED):
            wrong.append(f"{way}: {verdict}, and {status}")
    return wrong


@pytest.mark.parametrize("profile", ["main", "vcpu"])
def test_each_call_is_made_answered_or_refused(profile: str) -> None:
    """An ioctl is made or refused by its second argument, and so each has a run of its own."""
    others = [way for way in OTHER_WAYS if way.name != "ioctl"]
    assert wrong_results(profile, others) == []
    for way in OTHER_WAYS:
        if way.name == "ioctl":
            assert wrong_results(profile, [way]) == []


def test_a_wrong_verdict_is_noticed() -> None:
    for name, verdict in (("getpid", REFUSED), ("getppid", MADE), ("fstat", ANSWERED)):
        way = next(way for way in OTHER_WAYS if way.name == name)
        assert len(wrong_results("main", [replace(way, verdicts=verdict * len(PROFILES))])) == 1
