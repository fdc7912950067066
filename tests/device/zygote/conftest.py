"""A spawner with its zygote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.zygote.zygote_rig import ZygoteRig


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZygoteRig]:
    made = ZygoteRig(tmp_path_factory.mktemp("run") / "uids.lock", seccomp=True)
    yield made
    made.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ZygoteRig]:
    made = ZygoteRig(tmp_path / "uids.lock", seccomp=True)
    yield made
    made.close()
