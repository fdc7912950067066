"""The modules of a start in one file: made if there is none, used while it is up to date, else made anew."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import _cffi_backend
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
_IMPORTED = "import time:"
_PACKAGES = ("vmm_main", "device_procs", "ipc")
_REFUSED = "bulkhead: -device virtio-rng-device,id=virtio-rng0: "


class Copy:
    """A copy of the program, to be started and changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self) -> tuple[str, set[str]]:
        """Has the program say its version; returns that, and what Python imported for it."""
        said, output, imported = self._run("-version")
        assert not said, said
        return output, imported

    def start_with_device(self) -> tuple[str, set[str]]:
        """Has it refuse a device that lacks its source; returns what it said, and what Python imported."""
        said, output, imported = self._run("-device", "virtio-rng-device,rng=nowhere", "-kernel", "/nowhere")
        return said + output, imported

    def start_up_to_the_kernel(self) -> str:
        """Has it make a device, and a machine, whose kernel there isn't; returns what it said."""
        source = ("-object", "rng-random,id=source,filename=/dev/urandom")
        device = ("-device", "virtio-rng-device,rng=source")
        said, output, _ = self._run(*source, *device, "-kernel", "/nowhere")
        return said + output

    def _run(self, *arguments: str) -> tuple[str, str, set[str]]:
        return self._run_python(self.folder / "vmm_main" / "__main__.py", *arguments)

    def _run_python(self, *arguments: str | Path, stdin: int | None = None) -> tuple[str, str, set[str]]:
        packages = Path(_cffi_backend.__file__).parent
        options = ["-I", "-S", "-E", "-X", "importtime", "-X", f"bulkhead_path={self.folder}:{packages}"]
        ran = subprocess.run(
            # Descriptor 3 is the zygote's socket.
            ["sh", "-c", 'exec "$0" "$@" 3<&0', sys.executable, *options, *arguments],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = ran.stderr.splitlines()
        said = "\n".join(line for line in lines if _IMPORTED not in line)
        imported = {line.rpartition("|")[2].strip() for line in lines if _IMPORTED in line}
        return said, ran.stdout, {name for name in imported if name.partition(".")[0] in _PACKAGES}

    def start_zygote(self) -> tuple[str, set[str]]:
        """Starts a zygote that main has left; returns what it said, and what Python imported."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.close()
        with theirs:
            program = self.folder / "device_procs" / "zygote" / "__main__.py"
            arguments: list[str | Path] = [program, str(os.getpid()), "one-uid", "no-seccomp"]
            said, output, imported = self._run_python(*arguments, stdin=theirs.fileno())
        return said + output, imported

    def warm(self) -> None:
        """As often as it takes until the bundle is there: once for the .pyc files, once for the bundle."""
        assert self.bundles() == []
        self.start()
        assert self.bundles() == []
        self.start()
        assert len(self.bundles()) == 1

    def bundles(self) -> list[Path]:
        """The bundle, and whatever else of that name lies about."""
        return list((self.folder / "vmm_main" / "__pycache__").glob("start.*bundle*"))

    def device_bundles(self) -> list[Path]:
        """That of devices, likewise."""
        return list((self.folder / "vmm_main" / "__pycache__").glob("devices.*bundle*"))

    def uses_bundle(self) -> bool:
        """Whether the next start does."""
        said, imported = self.start()
        assert said.startswith("Bulkhead ")
        assert ("vmm_main.start" in imported) == ("vmm_main.errors" in imported) == ("vmm_main" in imported)
        return "vmm_main.start" not in imported


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the folder of a copy looks like when its bundle is made, which holds for `code` beside it."""
    made = Copy(tmp_path_factory.mktemp("bundle") / "code")
    for package in _PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.c")
        shutil.copytree(CHECKOUT / package, made.folder / package, ignore=ignored)
    made.warm()
    return made.folder.rename(made.folder.with_name("warmed"))


@pytest.fixture
def copy(warmed: Path) -> Iterator[Copy]:
    """One whose bundle is made."""
    made = Copy(warmed.with_name("code"))
    shutil.copytree(warmed, made.folder)
    yield made
    shutil.rmtree(made.folder)


def test_it_is_used_while_it_is_up_to_date(copy: Copy) -> None:
    assert copy.uses_bundle()
    assert copy.uses_bundle()


@pytest.mark.parametrize(
    "module",
    [
        "vmm_main/__init__",
        "vmm_main/errors",
        "vmm_main/start",
        "ipc/lean_start/start_bundle",
        "ipc/lean_start/direct_finder",
    ],
)
def test_a_changed_source_counts_at_once(copy: Copy, module: str) -> None:
    source = copy.folder / f"{module}.py"
    source.write_text(source.read_text() + "print('changed')\n")
    said, _ = copy.start()
    assert "changed" in said
    copy.start()
    said, imported = copy.start()
    assert "changed" in said
    assert "vmm_main.start" not in imported


@pytest.mark.parametrize("maker", ["bundle_writer", "lean_code"])
def test_a_changed_maker_makes_it_anew(copy: Copy, maker: str) -> None:
    source = copy.folder / "ipc" / "lean_start" / f"{maker}.py"
    source.write_text(source.read_text() + "\n")
    assert not copy.uses_bundle()  # Python's .pyc of it first
    copy.start()
    assert copy.uses_bundle()


def test_a_source_that_is_gone_counts_at_once(copy: Copy) -> None:
    (copy.folder / "vmm_main" / "log.py").unlink()
    with pytest.raises(AssertionError, match="cannot import name 'log'"):
        copy.start()


def test_another_folder_makes_its_own(copy: Copy, tmp_path: Path) -> None:
    copy.folder.rename(tmp_path / "moved")
    copy.folder = tmp_path / "moved"
    assert not copy.uses_bundle()
    assert copy.uses_bundle()


@pytest.mark.parametrize("left", [0, 1, 1000, -1])
def test_a_damaged_one_is_made_anew(copy: Copy, left: int) -> None:
    (bundle,) = copy.bundles()
    bundle.write_bytes(bundle.read_bytes()[:left])
    assert not copy.uses_bundle()
    assert copy.uses_bundle()


def test_what_is_none_is_replaced(copy: Copy) -> None:
    (bundle,) = copy.bundles()
    bundle.write_bytes(bytes(bundle.stat().st_size))
    assert not copy.uses_bundle()
    assert copy.uses_bundle()


def test_where_it_cannot_be_made_the_start_goes_on(copy: Copy) -> None:
    (bundle,) = copy.bundles()
    bundle.unlink()
    bundle.mkdir()
    assert not copy.uses_bundle()
    assert not copy.uses_bundle()
    assert copy.bundles() == [bundle]


def test_modules_of_devices_have_a_bundle_of_their_own(copy: Copy) -> None:
    for uses in (False, False, True, True):  # .pyc files, bundle, and from then on
        said, imported = copy.start_with_device()
        assert said.startswith(_REFUSED)
        assert "vmm_main.start" not in imported
        assert {"ipc.channel", "device_procs.virtio_rng.module"} <= imported or uses
        assert (imported == {"vmm_main.kvm._kvm"}) == uses, imported
    assert len(copy.bundles()) == 1
    assert copy.uses_bundle()


def test_the_start_that_makes_it_goes_on_to_its_machine(copy: Copy) -> None:
    for _ in range(4):
        assert copy.start_up_to_the_kernel().startswith("bulkhead: -kernel /nowhere")
    assert len(copy.device_bundles()) == 1


@pytest.mark.parametrize("module", ["ipc/schema", "device_procs/virtio_rng/module", "vmm_main/log"])
def test_a_changed_source_of_devices_counts_at_once(copy: Copy, module: str) -> None:
    for _ in range(3):
        copy.start_with_device()
    source = copy.folder / f"{module}.py"
    source.write_text(source.read_text() + "print('changed')\n")
    for _ in range(4):
        said, imported = copy.start_with_device()
        assert "changed" in said
    assert imported == {"vmm_main.kvm._kvm"}


def test_the_zygote_has_a_bundle_of_its_own(copy: Copy) -> None:
    for uses in (False, False, True, True):  # .pyc files, bundle, and from then on
        _, imported = copy.start_zygote()
        assert {"ipc.channel", "device_procs.virtio_rng.device"} <= imported or uses
        assert (imported == {"device_procs.data_plane._data_plane"}) == uses, imported
    assert copy.uses_bundle()


@pytest.mark.parametrize("module", ["ipc/channel", "device_procs/virtio_rng/device"])
def test_a_changed_source_of_the_zygote_counts_at_once(copy: Copy, module: str) -> None:
    for _ in range(3):
        copy.start_zygote()
    source = copy.folder / f"{module}.py"
    source.write_text(source.read_text() + "print('changed')\n")
    for _ in range(4):
        said, imported = copy.start_zygote()
        assert "changed" in said
    assert imported == {"device_procs.data_plane._data_plane"}
