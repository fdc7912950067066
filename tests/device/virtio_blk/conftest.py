from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.device.virtio_blk.disk_rig import DiskRig
from tests.device.zygote.zygote_rig import ZygoteRig

IMAGE_BYTES = 4 << 20

StartDisk = Callable[..., DiskRig]


@pytest.fixture(scope="module", params=[True, False], ids=["seccomp", "no-seccomp"])
def zygote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZygoteRig]:
    rig = ZygoteRig(tmp_path_factory.mktemp("run") / "uids.lock", seccomp=request.param)
    yield rig
    rig.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of random bytes."""
    path = tmp_path / "image"
    path.write_bytes(os.urandom(IMAGE_BYTES))
    return path


@pytest.fixture
def start_disk(zygote: ZygoteRig, image: Path) -> Iterator[StartDisk]:
    """Starts jailed disks up to READY, of the image unless told otherwise."""
    with ExitStack() as opened:

        def start(path: Path | None = None, **options: object) -> DiskRig:
            return opened.enter_context(closing(DiskRig(zygote, path or image, **options)))  # type: ignore[arg-type]

        yield start
