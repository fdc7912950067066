"""A whole VM by an ordinary user who may open /dev/kvm: from a copy that everybody may read."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

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


RNG = "-object rng-random,id=r,filename=/dev/zero -device virtio-rng-device,rng=r,id=rng0"


def as_nobody(place: Path, *command: str) -> list[str]:
    """A command by nobody; by who runs the test, if that isn't root."""
    if os.geteuid() != 0:
        return list(command)
    nobody = pwd.getpwnam("nobody")
    who = (str(nobody.pw_uid), str(nobody.pw_gid))
    return ["unshare", "-m", "sh", "-c", _AS_NOBODY, "sh", str(place), *who, *command]


def vm_command(copy: ReadableCopy, images: BareMetalImages, *arguments: str) -> list[str]:
    """The VMM of the copy."""
    kernel = copy.folder / "kernel"
    kernel.write_bytes(images.form("pvh").read_bytes())
    main = copy.folder / "vmm_main" / "__main__.py"
    return [
        *(copy.python, "-I", "-S", "-E", "-X", f"bulkhead_path={copy.folder}:{copy.packages}"),
        *("-X", f"bulkhead_launcher={copy.launcher}", str(main)),
        *("-kernel", str(kernel), "-serial", "stdio", *arguments),
    ]


@pytest.mark.parametrize("device", ["", RNG])
def test_it_runs_to_its_power_off(
    copy: ReadableCopy, images: BareMetalImages, tmp_path_factory: pytest.TempPathFactory, device: str
) -> None:
    append = ("-append", "test=entropy nonce=0x1 length=64")
    command = as_nobody(tmp_path_factory.mktemp("kvm"), *vm_command(copy, images, *append, *device.split()))
    ran = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ("received: 0x40" in ran.stdout) == bool(device)
    assert "seal: " in ran.stdout


def test_an_audit_says_what_only_root_could_see(
    copy: ReadableCopy, images: BareMetalImages, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Not as if it were as it should be: it takes an option to be content with that."""
    place = Path(tempfile.mkdtemp(prefix="bulkhead-"))
    place.chmod(0o777)
    socket = f"{place}/qmp"
    append = ("-append", "test=count nonce=0x1", "-qmp", f"unix:{socket},server,nowait")
    command = as_nobody(tmp_path_factory.mktemp("kvm"), *vm_command(copy, images, *append, *RNG.split()))
    audit = [copy.python, "-m", "tools.bulkhead_audit", "--qmp", socket, "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as vm:
        try:
            assert vm.stdout is not None
            while "counter" not in vm.stdout.readline():
                assert vm.poll() is None
            kvm = tmp_path_factory.mktemp("kvm")
            found = {}
            for option, status in (([], 2), (["--unprivileged"], 0)):
                ran = subprocess.run(
                    as_nobody(kvm, *audit, *option),
                    cwd=copy.folder,
                    capture_output=True,
                    text=True,
                    timeout=DEADLINE_S,
                    check=False,
                )
                assert ran.returncode == status, ran.stdout + ran.stderr
                found = json.loads(ran.stdout)
            if os.geteuid() == 0:
                by_root = [*audit[:-1], "--quiet"]
                ran = subprocess.run(
                    by_root, cwd=copy.folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False
                )
                assert ran.returncode == 0, ran.stdout + ran.stderr
        finally:
            vm.kill()
            shutil.rmtree(place)
    assert (found["result"], found["differences"]) == ("as-entitled", 0)
    device = next(process for process in found["processes"] if process["name"] == "rng0")
    verdicts = {finding["aspect"]: finding["verdict"] for finding in device["findings"]}
    assert len(verdicts) == len(device["findings"]), "each line is there once"
    assert verdicts["mounts"] == "ok"
    assert verdicts["root directory"] == verdicts["birth certificate"] == "not read"
    assert found["page-tables-kib"] == sum(
        int(finding["found"].removesuffix(" KiB"))
        for process in found["processes"]
        for finding in process["findings"]
        if finding["aspect"] == "page tables"
    )
    assert verdicts["user namespace"] == "certified"
    assert verdicts["descriptors"] == verdicts["shared memory"] == "not read"
    assert verdicts["system calls of worker"] == verdicts["capabilities"] == verdicts["dumpable"] == "ok"
