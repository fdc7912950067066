"""Which packages a root disk is made of, what is downloaded, and what is said when it can't be made."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tools.debian_kernel.package import DebianPackage, PackageError, download
from tools.root_disk import disk, packages
from tools.root_disk.disk import RootDiskError, build, copy_of
from tools.root_disk.packages import closure

CHECKOUT = Path(__file__).parents[3]

SIMULATED = """NOTE: This is only a simulation!
Inst libc6 (2.36-9 Debian:12.15/oldstable [amd64]) []
Inst fio (3.33-3 Debian:12.15/oldstable [amd64])
Inst libgcc-s1:amd64 (12.2.0-14 Debian:12.15/oldstable [amd64])
Conf libc6 (2.36-9 Debian:12.15/oldstable [amd64])
"""
STANZAS = """Package: fio
Version: 3.33-3
Description: flexible I/O tester
 Package: not a field, but a line that goes on
SHA256: f10

Package: libc6
Version: 2.36-9
SHA256: 11bc

Package: libc6
Version: 2.36-9
SHA256: from-another-source

Package: libgcc-s1
Version: 12.2.0-14
SHA256: 6cc
"""


class Apt:
    """Takes apt's place: notes what it is asked, and answers."""

    def __init__(self, simulated: str = SIMULATED, stanzas: str = STANZAS) -> None:
        self.asked: list[list[str]] = []
        self._answers = {"apt-get": simulated, "apt-cache": stanzas}

    def __call__(self, command: Sequence[str], cwd: Path | None = None) -> str:
        self.asked.append(list(command))
        return self._answers[command[0]]


def test_the_closure_is_what_apt_would_install_on_an_empty_system(monkeypatch: pytest.MonkeyPatch) -> None:
    apt = Apt()
    monkeypatch.setattr(packages, "ask", apt)
    assert closure(["fio"]) == [
        DebianPackage("fio", "3.33-3", "f10"),
        DebianPackage("libc6", "2.36-9", "11bc"),
        DebianPackage("libgcc-s1", "12.2.0-14", "6cc"),
    ]
    simulation, checksums = apt.asked
    assert {"--simulate", "Dir::State::status=/dev/null", "?essential", "fio"} <= set(simulation)
    assert checksums[2:] == ["fio=3.33-3", "libc6=2.36-9", "libgcc-s1=12.2.0-14"]


@pytest.mark.parametrize(
    ("apt", "complaint"),
    [
        (Apt(stanzas=STANZAS.replace("SHA256: 6cc", "MD5sum: 6cc")), "no checksum of libgcc-s1"),
        (Apt(simulated="Reading package lists...\n"), "install nothing for fio"),
    ],
)
def test_odd_lists_are_an_error(monkeypatch: pytest.MonkeyPatch, apt: Apt, complaint: str) -> None:
    monkeypatch.setattr(packages, "ask", apt)
    with pytest.raises(PackageError, match=complaint):
        closure(["fio"])


def test_this_machines_apt_knows_the_wanted_packages() -> None:
    names = {each.name for each in closure(packages.WANTED)}
    assert set(packages.WANTED) | {"bash", "coreutils", "dpkg", "libc6"} <= names
    assert not {"systemd-sysv", "perl"} & names


FIO = DebianPackage("fio", "3.33-3", hashlib.sha256(b"fio").hexdigest())
BASH = DebianPackage("bash", "5.2", hashlib.sha256(b"bash").hexdigest())


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts shell scripts where programs are looked for first."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setitem(disk.ENVIRONMENT, "PATH", f"{directory}:{disk.ENVIRONMENT['PATH']}")

    def put(name: str, script: str) -> None:
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)

    return put


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("printf fio >fio.deb; printf bash >bash.deb", None),
        ("printf fio >fio.deb; printf evil >bash.deb", "bash.deb has SHA-256 .* don't promise"),
        ("printf fio >fio.deb; printf fio >bash.deb", "which apt's lists don't promise"),
        ("printf fio >fio.deb", "of 2 packages only 1"),
        ("echo 'E: 404' >&2; exit 100", "failed: E: 404"),
    ],
)
def test_downloads_are_checked(
    programs: Callable[[str, str], None], tmp_path: Path, script: str, complaint: str | None
) -> None:
    programs("apt-get", f'[ "$*" = "download -q fio=3.33-3 bash=5.2" ] || exit 1; {script}')
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    if complaint is None:
        assert {path.name for path in download([FIO, BASH], downloads)} == {"fio.deb", "bash.deb"}
    else:
        with pytest.raises(PackageError, match=complaint):
            download([FIO, BASH], downloads)


def test_what_fails_while_installing_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.deb").write_bytes(b"not a package")
    with pytest.raises(RootDiskError, match=r"(?s)installing Debian failed.*broken\.deb"):
        build(tmp_path, tmp_path)
    assert not (tmp_path / disk.NAME).exists()


def test_a_host_without_user_namespaces_is_told_the_settings(
    programs: Callable[[str, str], None], tmp_path: Path
) -> None:
    programs("unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    with pytest.raises(RootDiskError, match=r"Operation not permitted.*max_user_namespaces"):
        build(tmp_path, tmp_path)


def test_a_missing_program_is_told_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(disk.ENVIRONMENT, "PATH", str(tmp_path))
    with pytest.raises(RootDiskError, match="apt-get install -y fakeroot"):
        build(tmp_path, tmp_path)


def test_a_copy_keeps_holes_and_may_be_written(tmp_path: Path) -> None:
    original, copy = tmp_path / "disk", tmp_path / "copy"
    with original.open("wb") as opened:
        opened.truncate(64 << 20)
        opened.seek(1 << 20)
        opened.write(b"content")
    original.chmod(0o444)
    copy_of(original, copy)
    assert subprocess.run(["cmp", str(original), str(copy)], check=False).returncode == 0
    assert copy.stat().st_blocks * 512 < 2 << 20
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_copy_that_has_no_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "disk").touch()
    with pytest.raises(RootDiskError, match="No such file or directory"):
        copy_of(tmp_path / "disk", tmp_path / "nowhere" / "copy")


def test_a_copy_takes_nobodys_place(tmp_path: Path) -> None:
    somebodys = tmp_path / "somebodys.img"
    somebodys.write_text("a disk in use")
    for place, what in ((somebodys, "somebody's disk"), (tmp_path, "a directory")):
        command = [str(CHECKOUT / "tools" / "root_disk" / "make"), "--copy", str(place)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert what in ran.stderr
        assert "allowed is a new file" in ran.stderr
    assert somebodys.read_text() == "a disk in use"
