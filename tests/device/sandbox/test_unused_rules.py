"""A rule that nobody needs fails the build (DESIGN §6), and a rule that was made up is found."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from seccomp_profiles.profile import FOLDER, Profile, Rule, read_profile
from tests.device.sandbox.rules_used import CONTROL, STRACE, WORKER, ZYGOTE, UsedRules
from tests.device.sandbox.told_kinds import FOLDERS

CHECKOUT = Path(__file__).resolve().parents[3]
# What a device does when all is well, how it dies, and what the zygote does.
RUNS = ("sandbox/test_deaths.py", "zygote/test_zygote.py", "{folder}/test_jailed_*.py")


def profiles_of(folder: str) -> dict[str, Profile]:
    names = {ZYGOTE: ZYGOTE, CONTROL: f"{folder}_control", WORKER: f"{folder}_worker"}
    return {thread: read_profile(FOLDER / f"{name}.json") for thread, name in names.items()}


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def trace(folder: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every call of a run of the device layer."""
    output = tmp_path_factory.mktemp("trace") / "calls"
    device_layer = CHECKOUT / "tests" / "device"
    tests = [path for pattern in RUNS for path in device_layer.glob(pattern.format(folder=folder))]
    assert len(tests) >= len(RUNS)
    ran = subprocess.run(
        [
            *STRACE,
            "-o",
            output,
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "not untraced",
            *tests,
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return output.read_text(encoding="utf-8", errors="replace").splitlines()


@pytest.mark.timeout(600)
def test_every_rule_is_used(folder: str, trace: list[str]) -> None:
    used = UsedRules(profiles_of(folder))
    used.read(trace)
    assert min(used.calls.values()) > 100
    assert used.unused() == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("thread", [ZYGOTE, CONTROL, WORKER])
def test_a_made_up_rule_is_found(folder: str, trace: list[str], thread: str) -> None:
    profiles = profiles_of(folder)
    bogus = Rule("reboot", (), 0, "made up")
    profiles[thread] = replace(profiles[thread], rules=(*profiles[thread].rules, bogus))
    used = UsedRules(profiles)
    used.read(trace)
    assert used.unused() == [f"{profiles[thread].name}: reboot"]
