"""Makes the root disk, cached by what it was made of: the packages' checksums, and the scripts here."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.build_cache import cached
from tools.debian_kernel.package import DebianPackage, download
from tools.root_disk.packages import WANTED, closure

HERE = Path(__file__).parent
ADDED = HERE / "added"
# Less than half of it is used; what is free takes no space, the file has holes there.
SIZE = "512M"
NAME = "rootfs.ext4"
SHOWN_LINES = 20

# Root of a namespace with one user, without this machine's network and System V IPC (which fakeroot uses).
IN_NAMESPACE = ("unshare", "--map-root-user", "--mount", "--pid", "--ipc", "--net", "--fork", "--kill-child")
# fakeroot would try the real chown first, which fails here in a way that it doesn't expect.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "FAKEROOTDONTTRYCHOWN": "1"}


class RootDiskError(Exception):
    """The disk can't be made; the text says why, and what to do where that is known."""


def root_disk() -> Path:
    """The root disk, made if need be: an ext4 image that nobody may write to. See copy_of().

    Raises:
        PackageError: The packages can't be had.
        RootDiskError: They can't be installed.
        CacheError: There is no place for the disk.
    """
    packages = closure(WANTED)
    recipe = [path for path in sorted(HERE.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    parts: list[str | bytes | Path] = [SIZE]
    for path in recipe:
        parts += [str(path.relative_to(HERE)), path]
    for each in packages:
        parts += [each.name, each.version, each.sha256]
    return cached("root-disk", parts, lambda directory: _make(packages, directory)) / NAME


def copy_of(disk: Path, copy: Path) -> None:
    """Copies a disk, holes included, for a guest to write to.

    Raises:
        RootDiskError: There is no room for it.
    """
    command = ["cp", "--sparse=always", "--reflink=auto", str(disk), str(copy)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RootDiskError(f"the root disk can't be copied: {ran.stderr.strip()}")
    copy.chmod(0o600)


def _make(packages: list[DebianPackage], directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=directory) as downloads:
        download(packages, Path(downloads))
        build(Path(downloads), directory)


def build(packages: Path, directory: Path) -> None:
    """Installs all .deb files of a directory into directory/rootfs.ext4.

    Raises:
        RootDiskError: That fails.
    """
    for program, package in (("fakeroot", "fakeroot"), ("mke2fs", "e2fsprogs")):
        if shutil.which(program, path=ENVIRONMENT["PATH"]) is None:
            raise RootDiskError(f"{program} is missing: apt-get install -y {package}")
    _require_user_namespaces()
    script = [str(HERE / "build.sh"), str(packages), str(ADDED), str(directory), SIZE]
    ran = subprocess.run(
        [*IN_NAMESPACE, "fakeroot", "--", *script],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if ran.returncode != 0:
        last = "\n".join(ran.stdout.splitlines()[-SHOWN_LINES:])
        raise RootDiskError(f"installing Debian failed with status {ran.returncode}; it said last:\n{last}")


def _require_user_namespaces() -> None:
    asked = subprocess.run(
        [*IN_NAMESPACE, "true"], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        raise RootDiskError(
            "Debian is installed in a user namespace, which this host refuses "
            f"({asked.stderr.strip()}); the settings are user.max_user_namespaces and, where they exist, "
            "kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns"
        )
