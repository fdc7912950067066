"""VMs with a hostile device, one for each kind that is registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.device.hostile_device.hostile_vm import HostileVm

StartVm = Callable[..., HostileVm]


@pytest.fixture
def start_vm(tmp_path: Path) -> Iterator[StartVm]:
    """Starts VMs that are gone after the test: start_vm(kind, ...), as HostileVm takes it."""
    with ExitStack() as stack:

        def start(kind: str, **options: Any) -> HostileVm:
            vm = HostileVm(tmp_path, kind, **options)
            stack.callback(vm.close)
            return vm

        yield start
