"""A whole VM by a root that may not give uids away: its devices have its own, in user namespaces."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.running_vm import DEADLINE_S

pytestmark = pytest.mark.timeout(300)

_ROOT_OF_ONE_UID = ("unshare", "-U", "-r")


def _run(program: str, images: BareMetalImages, *by: str) -> subprocess.CompletedProcess[str]:
    command = [
        *((*_ROOT_OF_ONE_UID, *by) if os.geteuid() else by),
        *(program, "-kernel", str(images.form("pvh")), "-serial", "stdio"),
        *("-append", "test=entropy nonce=0x1 length=64"),
        *("-object", "rng-random,id=r,filename=/dev/zero", "-device", "virtio-rng-device,rng=r"),
    ]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


@pytest.mark.parametrize(
    "by",
    [
        _ROOT_OF_ONE_UID,
        ("setpriv", "--bounding-set", "-sys_admin"),
        ("setpriv", "--bounding-set", "-setuid,-setgid"),
    ],
    ids=["user-namespace", "without-sys_admin", "without-setuid-and-setgid"],
)
def test_it_runs_to_its_power_off(program: str, images: BareMetalImages, by: tuple[str, ...]) -> None:
    ran = _run(program, images, *by)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "received: 0x40" in ran.stdout


def test_without_what_maps_uid_0_it_says_so(program: str, images: BareMetalImages) -> None:
    ran = _run(program, images, "setpriv", "--bounding-set", "-sys_admin,-setfcap")
    assert ran.returncode == 1
    assert "uid and gid maps: Operation not permitted" in ran.stderr
    assert "takes the capability SETFCAP" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1, "its tries are for the log"
