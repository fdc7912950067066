"""KVM's share of a start, done ahead by a C thread: what is ready is taken once; all else is done as ever."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# In a process of its own: what has begun there can't begin again.
_SCRIPT = """
import fcntl, json, os, sys
from vmm_main.kvm.early_setup import begin_early_setup, begin_unless_later
from vmm_main.kvm._kvm import ffi, lib
from vmm_main.kvm.system import KvmSystem

def open_kvm():
    return sorted(
        int(fd) for fd in os.listdir("/proc/self/fd") if "kvm" in os.path.basename(_target(fd))
    )

def _target(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""

begin_unless_later(json.loads(sys.argv[1]))
if json.loads(sys.argv[2]):
    begin_early_setup()
    begin_early_setup()
system = KvmSystem()
early = open_kvm()
leaves = system.supported_cpuid()
supported = [(leaf.function, leaf.index, leaf.eax) for leaf in leaves.entries[0 : leaves.nent]]
vms = [system.create_vm(), system.create_vm()]
inherited = [fd for fd in open_kvm() if not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC]
second = KvmSystem()
again = second.supported_cpuid()
same = supported == [(leaf.function, leaf.index, leaf.eax) for leaf in again.entries[0 : again.nent]]
print(json.dumps({"vms": vms, "early_fds": early, "inherited": inherited, "same": same,
                  "threads_at_the_end": len(os.listdir("/proc/self/task")), "second": second.fd}))
"""


def _report(arguments: list[str], *, begin: bool) -> dict[str, object]:
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps(arguments), json.dumps(begin)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    report: dict[str, object] = json.loads(run.stdout)
    return report


def _check_use(report: dict[str, object], ready: int) -> None:
    vms, early_fds = report["vms"], report["early_fds"]
    assert isinstance(vms, list)
    assert isinstance(early_fds, list)
    assert len(early_fds) == ready
    assert len(set(vms)) == 2
    assert (vms[0] in early_fds) == (ready == 2)
    assert vms[1] not in early_fds
    assert report["second"] not in [*early_fds, *vms]
    assert report["inherited"] == []
    assert report["same"]
    assert report["threads_at_the_end"] == 1


@pytest.mark.parametrize("arguments", [[], ["-kernel", "device"], ["-append", "x=-device"]])
def test_an_ordinary_command_line_begins_at_once(arguments: list[str]) -> None:
    _check_use(_report(arguments, begin=False), ready=2)


@pytest.mark.parametrize("option", ["-daemonize", "--daemonize", "-device", "--device"])
def test_what_makes_children_begins_later(option: str) -> None:
    _check_use(_report(["-m", "256", option], begin=False), ready=1)
    _check_use(_report(["-m", "256", option], begin=True), ready=2)
