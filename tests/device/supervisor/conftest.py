"""VMs without KVM for the supervisor's tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.device.supervised_vm import SupervisedVm
from tests.device.supervisor.driver_load import LENGTH
from vmm_main.device_supervisor import restart_policy
from vmm_main.device_supervisor.deadlines import Deadlines

StartVm = Callable[..., SupervisedVm]

# Enough for whatever a test does.
RESTARTS = 1_000_000


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every life counts as a long one."""
    monkeypatch.setattr(restart_policy, "SHORT_LIFE_S", 0.0)


@pytest.fixture
def start_vm(tmp_path: Path, no_backoff: None) -> Iterator[StartVm]:
    """Starts VMs with rngs whose drivers have set DRIVER_OK: start_vm(devices=1, driver_ok=True, ...)."""
    with ExitStack() as stack:

        def start(devices: int = 1, *, driver_ok: bool = True, **options: Any) -> SupervisedVm:
            options = {"restart_limit": RESTARTS, **options}
            rngs = options.pop("rngs", [{}] * devices)
            vm = SupervisedVm(tmp_path / "uids.lock", rngs, **options)
            stack.callback(vm.close)
            for transport in vm.transports if driver_ok else ():
                transport.driver_ok()
                transport.queues[0].fill(LENGTH)
            return vm

        yield start


def is_closed_to_its_user(pid: int) -> bool:
    """Whether this isn't root's test: a device's process isn't dumpable, and nobody else may look into it."""
    if os.geteuid() == 0:
        return False
    with pytest.raises(PermissionError):
        os.readlink(f"/proc/{pid}/ns/net")
    with pytest.raises(PermissionError):
        os.listdir(f"/proc/{pid}/fd")
    with pytest.raises(PermissionError):
        os.open(f"/proc/{pid}/maps", os.O_RDONLY)
    return True


def short_deadlines(**changes: float) -> Deadlines:
    """Those that a test has run out, and the others as they are."""
    deadlines = Deadlines()
    for name, value in changes.items():
        setattr(deadlines, name, value)
    return deadlines
