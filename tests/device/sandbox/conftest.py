"""Zygotes with told devices, with and without filters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.sandbox.told_extension import LIBRARY
from tests.device.zygote.zygote_rig import ZygoteRig

TOLD_KINDS = "tests.device.sandbox.told_kinds"
TOLD_OPTIONS = (f"told_library={LIBRARY}",)


@pytest.fixture(scope="session")
def lock_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "uids.lock"


@pytest.fixture(scope="module")
def confined(lock_file: Path) -> Iterator[ZygoteRig]:
    rig = ZygoteRig(lock_file, seccomp=True, extra_kinds=TOLD_KINDS, xoptions=TOLD_OPTIONS)
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def unfiltered(lock_file: Path) -> Iterator[ZygoteRig]:
    rig = ZygoteRig(lock_file, seccomp=False, extra_kinds=TOLD_KINDS, xoptions=TOLD_OPTIONS)
    yield rig
    rig.close()
