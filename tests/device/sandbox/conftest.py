"""Zygotes with told devices, with and without filters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.zygote.zygote_rig import ZygoteRig

TOLD_KINDS = "tests.device.sandbox.told_kinds"


@pytest.fixture(scope="session")
def lock_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "uids.lock"


@pytest.fixture(scope="module")
def confined(lock_file: Path) -> Iterator[ZygoteRig]:
    rig = ZygoteRig(lock_file, seccomp=True, extra_kinds=TOLD_KINDS)
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def unfiltered(lock_file: Path) -> Iterator[ZygoteRig]:
    rig = ZygoteRig(lock_file, seccomp=False, extra_kinds=TOLD_KINDS)
    yield rig
    rig.close()
