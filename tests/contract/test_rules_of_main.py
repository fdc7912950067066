"""A rule of main's or its vCPU threads' filters that nothing needs fails, and one that was made up is found.

Here, because this layer has KVM and a VM for each option. What is traced are tests of the guest layer and one
of this, chosen to need all that a VM needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from seccomp_profiles.profile import FOLDER, Profile, Rule, read_profile
from tests.contract.main_rules_used import MAIN, VCPU, MainRulesUsed

CHECKOUT = Path(__file__).resolve().parents[2]
RUNS = (
    *("guest/test_terminal.py", "guest/test_confinement.py", "guest/test_failure.py"),
    *("guest/test_waiting_for_clients.py", "guest/test_qmp.py", "guest/test_run_states.py"),
    "guest/test_serial_port.py::test_interrupts_drive_it_in_both_directions",
    "guest/test_reset.py::test_several_in_a_row[triple-elf]",
    "guest/test_virtio_rng.py::test_the_driver_resets_a_running_device",
    "guest/test_disk.py::test_a_read_only_disk",
    "guest/test_device_deaths.py::test_on_death_stop",
    "guest/test_device_deaths.py::test_stop_and_cont_while_it_reads",
    "contract/test_effects.py::test_the_option_has_its_effect[daemonize]",
)

# What these runs can't use, and why it stays.
_AARCH64 = "AArch64 has this one only"
_HEAP = "malloc's, when a heap has no room"
_ARENA = "malloc's, when threads want memory at the same moment"
_NO_VDSO = "on a host whose clock isn't to be read in user space"
_PYC = "the first VM after an installation, which may keep what it compiles"
_TERMIOS2 = "glibc since 2.42 has it for a terminal's settings"
_STOPPED = "a wait with a deadline, if SIGSTOP and SIGCONT come in it"
_WITHOUT_ROOT = "the uid of a device's process, where all have one"
SPARED = {
    "main: epoll_pwait": _AARCH64,
    "main: ppoll": _AARCH64,
    "main: unlinkat": _AARCH64,
    "main: dup3": _AARCH64,
    "main: fstat": "glibc has it for newfstatat since 2.39",
    "main: ioctl arg1 == 0x802c542a": _TERMIOS2,
    "main: ioctl arg1 == 0x402c542b": _TERMIOS2,
    "main: mkdir": _PYC,
    "main: rename": _PYC,
    "main: restart_syscall": _STOPPED,
    "main: kill": "a child's end, where the host has no descriptor left for it",
    "main: mremap": _HEAP,
    "main: sched_getaffinity": _ARENA,
    "main: geteuid": _WITHOUT_ROOT,
    "main: getegid": _WITHOUT_ROOT,
    "main: clock_gettime": _NO_VDSO,
    "vcpu: poll": "a driver's mistake is logged on its CPU's thread, to standard error if it takes it",
    "vcpu: ppoll": _AARCH64,
    "vcpu: ioctl arg1 == 0x802c542a": _TERMIOS2,
    "vcpu: ioctl arg1 == 0x402c542b": _TERMIOS2,
    "vcpu: restart_syscall": _STOPPED,
    "vcpu: mmap arg2 & 0x4 == 0x0": _HEAP,
    "vcpu: mprotect arg2 & 0x4 == 0x0": _HEAP,
    "vcpu: brk": _HEAP,
    "vcpu: mremap": _HEAP,
    "vcpu: openat -> errno 13": _ARENA,
    "vcpu: sched_getaffinity": _ARENA,
    "vcpu: clock_gettime": _NO_VDSO,
    "vcpu: exit_group": "the handler of a refused call ends the process",
}


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """One of each VM."""
    directory = tmp_path_factory.mktemp("trace")
    real = os.environ.get("BULKHEAD_PROGRAM") or str(Path(sys.executable).parent / "bulkhead")
    traced = directory / "bulkhead"
    # -D: the tracer is a grandchild, so that the VM's process is the one that the test has started.
    strace = "strace -D -f -qq -e raw=all -e signal=none"
    traced.write_text(f'#!/bin/sh\nexec {strace} -o "{directory}/$$.trace" "{real}" "$@"\n')
    traced.chmod(0o755)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not untraced"),
            *(f"tests/{run}" for run in RUNS),
        ],
        cwd=CHECKOUT,
        env={**os.environ, "BULKHEAD_PROGRAM": str(traced)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return [
        path.read_text(encoding="utf-8", errors="replace").splitlines() for path in directory.glob("*.trace")
    ]


def unused(traces: list[list[str]], profiles: dict[str, Profile]) -> set[str]:
    used = MainRulesUsed(profiles)
    for trace in traces:
        used.read(trace)
    assert min(used.calls.values()) > 1000
    return used.unused()


@pytest.mark.timeout(600)
def test_every_rule_is_used_or_spared_with_a_reason(traces: list[list[str]]) -> None:
    profiles = {name: read_profile(FOLDER / f"{name}.json") for name in (MAIN, VCPU)}
    rules = {
        f"{name}: {rule.call} {rule.condition}".strip() for name in profiles for rule in profiles[name].rules
    }
    assert unused(traces, profiles) - set(SPARED) == set()
    assert set(SPARED) - rules == set(), "nothing is spared that isn't there"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [MAIN, VCPU])
def test_a_made_up_rule_is_found(traces: list[list[str]], name: str) -> None:
    profiles = {each: read_profile(FOLDER / f"{each}.json") for each in (MAIN, VCPU)}
    profiles[name] = replace(profiles[name], rules=(*profiles[name].rules, Rule("reboot", (), 0, "made up")))
    assert unused(traces, profiles) - set(SPARED) == {f"{name}: reboot"}
