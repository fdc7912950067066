"""What ps and pkill call the processes of a VM."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.conftest import StartBareMetal

pytestmark = pytest.mark.timeout(300)


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()


def test_each_is_called_what_it_is(start: StartBareMetal) -> None:
    devices = [
        word
        for device_id in ("rng0", "a-name-that-ps-cannot-show-in-full")
        for word in ("-device", f"virtio-rng-device,rng=r,id={device_id}")
    ]
    vm = start("count", "-object", "rng-random,id=r,filename=/dev/zero", *devices)
    vm.report.wait_for("counter")
    main = vm.process.pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text(encoding="ascii").split()
    assert _name(main) == "bulkhead"
    names = sorted(_name(int(child)) for child in children)
    assert names == sorted(["bulkhead-spawn", "zygote", "rng0", "a-name-that-ps-"])
