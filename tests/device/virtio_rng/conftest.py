from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from device_procs.virtio_rng.module import MODULE
from tests.device.device_rig import DeviceRig
from tests.device.zygote.zygote_rig import ZygoteRig

NO_LIMIT = {"max_bytes": 0, "period_ms": 0}

StartRng = Callable[..., AbstractContextManager[DeviceRig]]


@pytest.fixture(scope="module", params=[True, False], ids=["seccomp", "no-seccomp"])
def zygote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZygoteRig]:
    rig = ZygoteRig(tmp_path_factory.mktemp("run") / "uids.lock", seccomp=request.param)
    yield rig
    rig.close()


@pytest.fixture
def start_rng(zygote: ZygoteRig) -> StartRng:
    """Starts a jailed rng up to READY, with one queue."""

    @contextmanager
    def start(
        source: str | int = "/dev/urandom", config: dict[str, int] | None = None
    ) -> Iterator[DeviceRig]:
        rig = DeviceRig(MODULE, zygote.start, seccomp=zygote.seccomp)
        try:
            rig.make_queues(64)
            rig.expect("BIRTH_CERTIFICATE")
            fd = os.dup(source) if isinstance(source, int) else os.open(source, os.O_RDONLY | os.O_NONBLOCK)
            try:
                rig.configure(config or NO_LIMIT, (fd,))
            finally:
                os.close(fd)
            rig.expect("READY")
            yield rig
        finally:
            rig.close()

    return start


def control_thread_switches(pid: int) -> int:
    """How often the control thread has been put on a processor."""
    text = Path(f"/proc/{pid}/task/{pid}/status").read_text(encoding="utf-8")
    counts = [line.split()[1] for line in text.splitlines() if "ctxt_switches" in line]
    return sum(map(int, counts))
