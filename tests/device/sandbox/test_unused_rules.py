"""A rule that nobody needs fails the build (DESIGN §6), and a rule that was made up is found.

The zygote's filter is in force in every device it makes: its rules may be any kind's.
"""

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
# What a device does when all is well, how it dies, what another C library would call, what the zygote does.
RUNS = (
    *("sandbox/test_deaths.py", "sandbox/test_other_ways.py", "zygote/test_zygote.py"),
    "{folder}/test_jailed_*.py",
)


def profiles_of(folder: str) -> dict[str, Profile]:
    names = {ZYGOTE: ZYGOTE, CONTROL: f"{folder}_control", WORKER: f"{folder}_worker"}
    return {thread: read_profile(FOLDER / f"{name}.json") for thread, name in names.items()}


def trace_of(folder: str, output: Path) -> list[str]:
    """Every call of a run of the device layer with that kind of device."""
    device_layer = CHECKOUT / "tests" / "device"
    tests = [path for pattern in RUNS for path in device_layer.glob(pattern.format(folder=folder))]
    assert len(tests) >= len(RUNS)
    pytest_run = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not untraced")
    ran = subprocess.run(
        [*STRACE, "-o", output, *pytest_run, *tests],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return output.read_text(encoding="utf-8", errors="replace").splitlines()


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """By folder."""
    directory = tmp_path_factory.mktemp("trace")
    return {folder: trace_of(folder, directory / folder) for folder in FOLDERS}


def unused(profiles: dict[str, dict[str, Profile]], traces: dict[str, list[str]]) -> list[str]:
    """The rules of all kinds' profiles that none of the traces uses."""
    found: dict[str, set[str]] = {}
    for folder, trace in traces.items():
        used = UsedRules(profiles[folder])
        used.read(trace)
        assert min(used.calls.values()) > 100
        for rule in used.unused():
            found.setdefault(rule, set()).add(folder)
    # A device's own are unused where only its trace could use them, the zygote's where no trace does.
    of_the_zygote = f"{ZYGOTE}: "
    return [rule for rule, by in found.items() if not rule.startswith(of_the_zygote) or by == set(traces)]


@pytest.mark.timeout(600)
def test_every_rule_is_used(traces: dict[str, list[str]]) -> None:
    assert unused({folder: profiles_of(folder) for folder in FOLDERS}, traces) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("thread", [ZYGOTE, CONTROL, WORKER])
def test_a_made_up_rule_is_found(traces: dict[str, list[str]], thread: str) -> None:
    bogus = Rule("reboot", (), 0, "made up")
    profiles = {folder: profiles_of(folder) for folder in FOLDERS}
    for of_folder in profiles.values():
        of_folder[thread] = replace(of_folder[thread], rules=(*of_folder[thread].rules, bogus))
    names = {of_folder[thread].name for of_folder in profiles.values()}
    assert set(unused(profiles, traces)) == {f"{name}: reboot" for name in names}


def test_a_rule_that_another_kind_uses_is_the_zygotes(tmp_path: Path) -> None:
    """By two kinds' traces, of which one has the call."""
    bogus = Rule("reboot", (), 0, "made up")
    profiles = {folder: profiles_of(FOLDERS[0]) for folder in ("one", "other")}
    for of_folder in profiles.values():
        of_folder[ZYGOTE] = replace(of_folder[ZYGOTE], rules=(bogus,))
        of_folder[CONTROL] = of_folder[WORKER] = replace(of_folder[WORKER], rules=())
    installs = ["1 seccomp(0x1, 0x0, 0x1)", *["1 close(0x1)"] * 101]
    clones = ["1 clone(0x11, 0x0) = 2", "2 seccomp(0x1, 0, 0)", *["2 close(0x1)"] * 101]
    threads = ["2 clone(0x10000, 0)", "3 seccomp(0x1, 0, 0)", *["3 close(0x1)"] * 101]
    without = [*installs, *clones, *threads]
    assert unused(profiles, {"one": without, "other": without}) == ["zygote: reboot"]
    assert unused(profiles, {"one": without, "other": [*without, "2 reboot(0x0)"]}) == []
