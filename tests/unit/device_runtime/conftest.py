from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from device_procs.virtio_rng.module import MODULE
from tests.device.device_rig import DeviceRig
from tests.device.plain_process import start_plain

MakeRig = Callable[[], DeviceRig]
NO_LIMIT = {"max_bytes": 0, "period_ms": 0}


@pytest.fixture
def source() -> Iterator[int]:
    """A source of random bytes."""
    fd = os.open("/dev/urandom", os.O_RDONLY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


@pytest.fixture
def device() -> Iterator[DeviceRig]:
    """An rng's process, not yet configured."""
    rig = DeviceRig(MODULE, start_plain, seccomp=False)
    rig.make_queues(64)
    yield rig
    rig.close()


@pytest.fixture
def ready(device: DeviceRig, source: int) -> DeviceRig:
    """An rng's process that waits for its driver."""
    device.configure(NO_LIMIT, (source,))
    device.expect("READY")
    return device
