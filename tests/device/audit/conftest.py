"""A process that is in nobody's jail, and what those of a real VM are entitled to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.audit.stand_in_rig import Entitled
from tests.device.supervised_vm import SupervisedVm


@pytest.fixture(scope="module")
def stranger() -> Iterator[int]:
    """Its pid."""
    program = str(Path(__file__).with_name("stranger.py"))
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate()


@pytest.fixture(scope="module")
def entitled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entitled]:
    """What a real VM's processes are entitled to."""
    vm = SupervisedVm(tmp_path_factory.mktemp("run") / "uids.lock", [{}])
    yield Entitled(vm)
    vm.close()
