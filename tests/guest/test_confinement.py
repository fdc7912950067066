"""What main has left of its privileges while a guest runs, and that a VM does all it can do with that."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.contract.bench import wait_until
from tests.guest.conftest import StartBareMetal
from tests.guest.running_vm import BareMetalVm

pytestmark = pytest.mark.timeout(180)

MAIN, VCPU = "main", "vcpu"


def _threads(vm: BareMetalVm) -> dict[str, dict[str, str]]:
    """/proc/PID/task/*/status by thread name, main's as MAIN; without KVM's, which never leave the kernel."""
    found = {}
    for task in Path(f"/proc/{vm.process.pid}/task").iterdir():
        pairs = (line.partition(":") for line in (task / "status").read_text(encoding="utf-8").splitlines())
        status = {name: value.strip() for name, _, value in pairs}
        if status["Name"].startswith("kvm-"):
            continue
        found[MAIN if task.name == str(vm.process.pid) else status["Name"]] = status
    return found


def _filters(vm: BareMetalVm) -> int:
    return sum(int(status["Seccomp_filters"]) for status in _threads(vm).values())


def _check_threads(vm: BareMetalVm, cpus: int, *, filters: bool) -> None:
    if filters:
        # A CPU that the guest hasn't started may still be on its way to its filter; it runs nothing before.
        wait_until(lambda: _filters(vm) >= 1 + 2 * cpus, "the vCPU threads' filters are missing")
    threads = _threads(vm)
    assert {f"{VCPU}{cpu}" for cpu in range(cpus)} | {MAIN} == set(threads)
    for name, status in threads.items():
        sets = [int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
        assert sets == [0] * 5
        assert status["NoNewPrivs"] == "1"
        expected = (1 if name == MAIN else 2) if filters else 0
        assert int(status["Seccomp_filters"]) == expected, name
        assert status["Seccomp"] == ("2" if filters else "0")


@pytest.mark.parametrize("cpus", [1, 4])
def test_every_thread_is_confined_also_after_a_reboot(start: StartBareMetal, cpus: int) -> None:
    vm = start("count", "-smp", str(cpus), sockets=1)
    client = vm.connect()
    vm.report.wait_for("counter")
    _check_threads(vm, cpus, filters=True)
    assert client.execute("system_reset")["event"] == "RESET"
    assert client.receive() == {"return": {}}
    vm.next_boot().wait_for("counter")
    _check_threads(vm, cpus, filters=True)
    vm.serial.write(b"q")
    vm.expect_power_off()
    client.close()


def test_disable_seccomp_takes_the_filters_only_and_warns(start: StartBareMetal) -> None:
    vm = start("count", "-disable-seccomp")
    vm.report.wait_for("counter")
    _check_threads(vm, 1, filters=False)
    vm.serial.write(b"q")
    vm.report.wait_for_seal()
    assert vm.process.wait(60) == 0
    assert vm.process.stderr is not None
    warning = vm.process.stderr.read().decode()
    assert "WARNING start: -disable-seccomp: " in warning
    assert warning.count("\n") == 1


def test_it_goes_on_after_being_stopped_by_job_control(start: StartBareMetal) -> None:
    vm = start("count", sockets=1)
    client = vm.connect()
    vm.report.wait_for("counter")
    for _ in range(5):
        vm.process.send_signal(signal.SIGSTOP)
        vm.process.send_signal(signal.SIGCONT)
        assert client.execute("query-status")["return"]["status"] == "running"
    vm.serial.write(b"q")
    vm.expect_power_off()
    client.close()
