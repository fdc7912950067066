"""bulkhead-audit of real VMs: what is as it should be gives 0, what isn't 1, what can't be seen 2."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from device_procs.device_registry import KINDS
from tests.device.hostile_driver.declaration import declared
from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.conftest import StartBareMetal
from tests.guest.running_vm import DEADLINE_S, BareMetalVm

pytestmark = pytest.mark.timeout(300)

AUDIT = str(Path(sys.executable).with_name("bulkhead-audit"))
AS_ENTITLED, DIFFERS, NOT_AUDITED = 0, 1, 2
# Root sees all; others are told what they don't, and it isn't taken for good.
CLEAN = AS_ENTITLED if os.geteuid() == 0 else NOT_AUDITED


def run_audit(socket: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [AUDIT, "--qmp", socket, *options],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def audited(socket: str, expected: int, *options: str) -> dict[str, Any]:
    """The JSON of an audit that ends with that status."""
    ran = run_audit(socket, "--json", *options)
    assert ran.returncode == expected, ran.stdout + ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def differences(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Process, aspect and what was found, of each."""
    return [
        (process["name"], finding["aspect"], finding["found"])
        for process in found["processes"]
        for finding in process["findings"]
        if finding["verdict"] == "DIFFERENCE"
    ]


def devices_of(folder: Path) -> list[str]:
    """Two sources of entropy and two disks, one with everything that a disk's process can hold."""
    arguments = ["-object", "rng-random,id=r,filename=/dev/urandom"]
    for name in ("rng0", "rng1"):
        arguments += ["-device", f"virtio-rng-device,rng=r,id={name}"]
    for name, drive, device in (("blk0", "", ""), ("blk1", ",direct=on", ",num-queues=2")):
        image = folder / f"{name}.img"
        image.write_bytes(bytes(1 << 20))
        arguments += ["-drive", f"id={name}d,file={image}{drive}"]
        arguments += ["-device", f"virtio-blk-device,drive={name}d,id={name}{device}"]
    return arguments


def start_vm(start: StartBareMetal, *arguments: str) -> BareMetalVm:
    vm = start("count", *arguments, sockets=1)
    vm.report.wait_for("counter")
    return vm


def test_a_vm_is_as_entitled_also_after_deaths(start: StartBareMetal, tmp_path: Path) -> None:
    vm = start_vm(start, "-smp", "2", *devices_of(tmp_path))
    found = audited(vm.paths[0], CLEAN)
    assert (found["result"], found["differences"]) == ("as-entitled" if CLEAN == 0 else "incomplete", 0)
    names = [process["name"] for process in found["processes"]]
    assert names == ["main", "spawner", "zygote", "rng0", "rng1", "blk0", "blk1"]
    for name, number in (("rng0", signal.SIGSEGV), ("blk1", signal.SIGKILL)):
        pid = next(process["pid"] for process in found["processes"] if process["name"] == name)
        os.kill(pid, number)
    # While the successors come, and a zygote takes the other's place: what isn't settled yet isn't judged.
    again = audited(vm.paths[0], CLEAN)
    assert differences(again) == []
    assert vm.process.poll() is None
    pids = [{process["name"]: process["pid"] for process in one["processes"]} for one in (found, again)]
    assert pids[0]["main"] == pids[1]["main"]
    assert pids[0]["rng0"] != pids[1]["rng0"]
    assert pids[0]["blk1"] != pids[1]["blk1"]


def test_a_vm_whose_zygote_has_died_is_as_entitled(start: StartBareMetal, tmp_path: Path) -> None:
    """No other comes before a device dies: what devices have mapped isn't mapped by anybody else then."""
    vm = start_vm(start, *devices_of(tmp_path))
    found = audited(vm.paths[0], CLEAN)
    os.kill(
        next(process["pid"] for process in found["processes"] if process["role"] == "zygote"), signal.SIGKILL
    )
    again = audited(vm.paths[0], CLEAN)
    assert differences(again) == []
    assert [process["role"] for process in again["processes"]] == ["main", "spawner", *["device"] * 4]


@pytest.mark.parametrize("kind", KINDS)
def test_each_registered_kind_is_as_entitled(start: StartBareMetal, tmp_path: Path, kind: str) -> None:
    vm = start_vm(start, *declared(kind).arguments(tmp_path))
    found = audited(vm.paths[0], CLEAN)
    assert differences(found) == []
    assert kind in [process.get("kind") for process in found["processes"]]


def test_devices_may_be_called_as_other_processes_are(start: StartBareMetal) -> None:
    source = ("-object", "rng-random,id=r,filename=/dev/urandom")
    names = ("main", "zygote", "spawner")
    vm = start_vm(
        start,
        *source,
        *[argument for name in names for argument in ("-device", f"virtio-rng-device,rng=r,id={name}")],
    )
    found = audited(vm.paths[0], CLEAN)
    assert differences(found) == []
    told = [(process["role"], process["name"], process["findings"]) for process in found["processes"]]
    assert [one[:2] for one in told] == [(n, n) for n in ("main", "spawner", "zygote")] + [
        ("device", name) for name in names
    ]
    jailed = [any(finding["aspect"] == "dumpable" for finding in findings) for *_, findings in told]
    assert jailed == [role == "device" for role, *_ in told]


def test_installed_filters_are_read_while_the_vm_runs_on(start: StartBareMetal, tmp_path: Path) -> None:
    """Each thread stands still for a moment, amid whatever call it waits in, and goes on."""
    vm = start_vm(start, "-smp", "2", *devices_of(tmp_path))
    client = vm.connect()
    installed = []
    for _ in range(3):
        found = audited(vm.paths[0], CLEAN, "--filters")
        findings = [finding for process in found["processes"] for finding in process["findings"]]
        installed.append({one["verdict"] for one in findings if one["aspect"].startswith("installed")})
        assert differences(found) == []
        for name in ("rng0", "blk1"):
            assert "return" in client.execute("query-device-metrics", id=name)
    assert installed == [{"ok" if os.geteuid() == 0 else "not read"}] * 3
    client.close()
    vm.serial.write(b"q")
    vm.expect_power_off()


def test_a_vm_without_devices(start: StartBareMetal) -> None:
    vm = start_vm(start)
    found = audited(vm.paths[0], AS_ENTITLED)
    (main,) = found["processes"]
    assert main["pid"] == vm.process.pid


def test_filters_that_were_taken_away_are_differences(start: StartBareMetal, tmp_path: Path) -> None:
    vm = start_vm(start, "-disable-seccomp", *devices_of(tmp_path)[:4])
    found = differences(audited(vm.paths[0], DIFFERS))
    without = "all: -disable-seccomp was given"
    assert found == [
        ("main", "system calls of main", without),
        ("main", "system calls of vcpu", without),
        ("zygote", "system calls of zygote", without),
        ("rng0", "system calls of control", without),
        ("rng0", "system calls of worker", without),
    ]
    text = run_audit(vm.paths[0], "--quiet").stdout
    assert text.count(" DIFFERENCE\n") == len(found)


def test_a_descriptor_that_was_left_open_for_main_is_a_difference(
    program: str, images: BareMetalImages, tmp_path: Path
) -> None:
    careless = tmp_path / "careless"
    careless.write_text(
        f'#!/bin/sh\nexec 9</etc/passwd\nexec {shlex.quote(program)} "$@"\n', encoding="utf-8"
    )
    careless.chmod(0o755)
    vm = BareMetalVm(str(careless), tmp_path, images.form("pvh"), "count", sockets=1)
    try:
        vm.report.wait_for("counter")
        found = differences(audited(vm.paths[0], DIFFERS))
        assert found == [
            ("main", "descriptor", "9 -> /etc/passwd (r), left open by who started it"),
        ]
    finally:
        vm.close()
