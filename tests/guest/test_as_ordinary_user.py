"""A whole VM by an ordinary user who may open /dev/kvm: from a copy that everybody may read."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator

import pytest

from tests.device.readable_copy import ReadableCopy, readable_copy
from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.running_vm import DEADLINE_S

pytestmark = pytest.mark.timeout(300)

# Root's /dev/kvm may be root's alone: in a mount namespace of the test's, one that is everybody's.
_AS_NOBODY = """
mount -t tmpfs none "$1" && mknod -m 666 "$1/kvm" c 10 232 && mount --bind "$1/kvm" /dev/kvm || exit 99
user=$2 group=$3; shift 3
exec setpriv --reuid "$user" --regid "$group" --clear-groups "$@"
"""


@pytest.fixture(scope="module")
def copy() -> Iterator[ReadableCopy]:
    with readable_copy() as made:
        yield made


@pytest.mark.parametrize(
    "device", ["", "-object rng-random,id=r,filename=/dev/zero -device virtio-rng-device,rng=r"]
)
def test_it_runs_to_its_power_off(
    copy: ReadableCopy, images: BareMetalImages, tmp_path_factory: pytest.TempPathFactory, device: str
) -> None:
    kernel = copy.folder / "kernel"
    kernel.write_bytes(images.form("pvh").read_bytes())
    main = copy.folder / "vmm_main" / "__main__.py"
    command = [
        *(copy.python, "-I", "-S", "-E", "-X", f"bulkhead_path={copy.folder}:{copy.packages}"),
        *("-X", f"bulkhead_launcher={copy.launcher}", str(main)),
        *("-kernel", str(kernel), "-serial", "stdio", "-append", "test=entropy nonce=0x1 length=64"),
        *device.split(),
    ]
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        who = (str(nobody.pw_uid), str(nobody.pw_gid))
        place = str(tmp_path_factory.mktemp("kvm"))
        command = ["unshare", "-m", "sh", "-c", _AS_NOBODY, "sh", place, *who, *command]
    ran = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ("received: 0x40" in ran.stdout) == bool(device)
    assert "seal: " in ran.stdout
