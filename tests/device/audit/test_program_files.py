"""What a device may have mapped when there is no zygote that has it mapped too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from device_procs.data_plane import _data_plane
from tests.device.audit.stand_in_rig import CHECKOUT
from tools.bulkhead_audit.process import Process
from tools.bulkhead_audit.program_files import devices_library, mapped_by

MAINS = "vmm_main/kvm/_kvm.abi3.so"
DEVICES = "device_procs/data_plane/_data_plane.abi3.so"
# Maps a file as a program does, and has nothing else of Bulkhead.
MAPS = """
import mmap, sys
file = open(sys.argv[1], "rb")
kept = mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
print(flush=True)
sys.stdin.read()
"""


# In a launcher's jail: what is there is seen by nobody else.
_JAILED = """
mv "$1"/* "$2" && mount -t tmpfs none "$1" && cp -r "$2"/* "$1" || exit 99
shift 2; exec "$@"
"""


@contextmanager
def main_that_maps(path: Path, *before: str) -> Iterator[Process]:
    command = [*before, sys.executable, "-I", "-S", "-c", MAPS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        main = Process({"name": "main", "role": "main", "pid": process.pid})
        yield main
        main.files.close()
        process.communicate()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder of an installation."""
    for name in (MAINS, DEVICES):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(bytes(4096))
    return tmp_path


def inodes(main: Process) -> set[int]:
    return {inode for _, inode in devices_library(main)}


def test_it_is_the_one_beside_mains() -> None:
    assert Path(_data_plane.__file__) == CHECKOUT / DEVICES
    with main_that_maps(CHECKOUT / MAINS) as main:
        (library,) = devices_library(main)
        assert library[1] == (CHECKOUT / DEVICES).stat().st_ino
        assert library not in mapped_by(main)
        assert library[0] in {device for device, _ in mapped_by(main)}


def test_no_other_file_is(installed: Path) -> None:
    with main_that_maps(installed / MAINS) as main:
        assert inodes(main) == {(installed / DEVICES).stat().st_ino}
    with main_that_maps(installed / DEVICES) as main:
        assert inodes(main) == set()


def test_an_installation_that_was_replaced_meanwhile_is_not_taken_for_mains(installed: Path) -> None:
    with main_that_maps(installed / MAINS) as main:
        (installed / MAINS).rename(installed / "old")
        (installed / MAINS).write_bytes(bytes(4096))
        assert inodes(main) == set()


def test_main_may_have_mounts_of_its_own(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    aside = str(tmp_path_factory.mktemp("aside"))
    jailed = ("unshare", "-rm", "sh", "-c", _JAILED, "sh", str(installed), aside)
    with main_that_maps(installed / MAINS, *jailed) as main:
        (library,) = devices_library(main)
        assert library[1] == Path(f"/proc/{main.pid}/root{installed / DEVICES}").stat().st_ino
        assert not (installed / DEVICES).exists()
        assert library[0] in {device for device, _ in mapped_by(main)}
