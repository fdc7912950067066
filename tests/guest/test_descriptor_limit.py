"""A limit of open files that is too low for the VM: one line says so, and names one that is enough."""

from __future__ import annotations

import re
import resource
import subprocess

import pytest

from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.running_vm import DEADLINE_S

pytestmark = pytest.mark.timeout(300)

DEVICES = 11
_ONE_LINE = re.compile(
    r"bulkhead: Too many open files: the limit is (\d+) \(RLIMIT_NOFILE\); this VM needs up to (\d+): "
    r"`ulimit -n \2` allows it\n"
)


def _run(program: str, images: BareMetalImages, limit: int) -> subprocess.CompletedProcess[str]:
    devices = [
        word for number in range(DEVICES) for word in ("-device", f"virtio-rng-device,rng=r,id=rng{number}")
    ]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return subprocess.run(
        [
            *("prlimit", f"--nofile={limit}:{hard}", program, "-kernel", str(images.form("pvh"))),
            *("-serial", "stdio", "-append", "test=entropy nonce=0x1 length=64"),
            *("-object", "rng-random,id=r,filename=/dev/zero", *devices),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


# They run out at main's loops, at a device's parts, at the zygote, and at the machine.
@pytest.mark.parametrize("limit", [12, 20, 30, 40, 60, 80, 90])
def test_it_says_one_line(program: str, images: BareMetalImages, limit: int) -> None:
    ran = _run(program, images, limit)
    said = _ONE_LINE.fullmatch(ran.stderr)
    assert said is not None, ran.stderr
    assert (ran.returncode, int(said.group(1))) == (1, limit)


def test_what_it_says_is_enough_is_enough(program: str, images: BareMetalImages) -> None:
    said = _ONE_LINE.fullmatch(_run(program, images, 40).stderr)
    assert said is not None
    ran = _run(program, images, int(said.group(2)))
    assert ran.returncode == 0, ran.stderr
    assert "received: 0x40" in ran.stdout
