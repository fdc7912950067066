"""Debian's packages: which kernel is current, downloads, the files in them. Nothing gets installed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class PackageError(Exception):
    """A package can't be had; the message says why and what to do."""


@dataclass(frozen=True)
class DebianPackage:
    """One version of one package, as apt's lists name it."""

    name: str
    version: str
    sha256: str


def ask(command: Sequence[str], cwd: Path | None = None) -> str:
    """What a command prints; raises PackageError with its last line of errors."""
    try:
        ran = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise PackageError(
            f"{command[0]} is missing: kernels and guests come from Debian's packages"
        ) from error
    if ran.returncode != 0:
        last_line = (ran.stderr.strip() or "no message").splitlines()[-1]
        raise PackageError(f"{' '.join(command)} failed: {last_line}")
    return ran.stdout


def _candidate(name: str) -> dict[str, str]:
    """The fields of the version that apt would install."""
    return fields(ask(["apt-cache", "show", "--no-all-versions", name]))


def fields(stanza: str) -> dict[str, str]:
    """The fields of a stanza such as apt's lists consist of, without lines that continue one."""
    return dict(re.findall(r"^([A-Z][\w-]*): (.*)$", stanza, flags=re.MULTILINE))


def with_lists(name: str, look: Callable[[], T]) -> T:
    """What a look at apt's lists finds; root fetches the lists where they don't know the package.

    Args:
        name: The package that may be unknown.
        look: Raises PackageError if it is.
    """
    try:
        return look()
    except PackageError:
        if os.geteuid() != 0:
            raise PackageError(
                f"apt knows no package {name}; this makes it look: sudo apt-get update"
            ) from None
        ask(["apt-get", "update", "-q"])
        return look()


def current_kernel(meta_package: str) -> DebianPackage:
    """The kernel package that a meta package such as linux-image-amd64 stands for today.

    Raises:
        PackageError: apt's lists don't have it.
    """
    meta = with_lists(meta_package, lambda: _candidate(meta_package))
    dependency = re.search(r"\blinux-image-\d[^\s,]*", meta.get("Depends", ""))
    if dependency is None:
        raise PackageError(f"{meta_package} depends on no kernel package: {meta.get('Depends')!r}")
    kernel = _candidate(dependency.group())
    return DebianPackage(kernel["Package"], kernel["Version"], kernel["SHA256"])


def download(packages: Sequence[DebianPackage], directory: Path) -> list[Path]:
    """Downloads packages into an empty directory; returns the archives, in no particular order.

    Raises:
        PackageError: a download fails, or isn't what apt's lists promise.
    """
    # As root, apt drops to the user _apt for the download where that user can write.
    directory.chmod(0o777)
    ask(["apt-get", "download", "-q", *(f"{each.name}={each.version}" for each in packages)], cwd=directory)
    archives = list(directory.glob("*.deb"))
    promised = {each.sha256 for each in packages}
    for archive in archives:
        with archive.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        if sha256 not in promised:
            raise PackageError(f"{archive.name} has SHA-256 {sha256}, which apt's lists don't promise")
        promised.remove(sha256)
    if promised:
        raise PackageError(f"of {len(packages)} packages only {len(archives)} were downloaded")
    return archives


def extract(package: DebianPackage, patterns: Sequence[str], directory: Path) -> None:
    """Downloads a package and extracts the files that match tar's wildcards, such as "./boot/*".

    Raises:
        PackageError: the download fails, or isn't what apt's lists promise.
    """
    downloads = directory / "download"
    downloads.mkdir()
    (archive,) = download([package], downloads)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as unpack:
        untar = ["tar", "-x", "-C", str(directory), "--no-same-owner", "--wildcards", *patterns]
        extracted = subprocess.run(untar, stdin=unpack.stdout, capture_output=True, text=True, check=False)
        if unpack.stdout is not None:
            unpack.stdout.read()  # tar may stop before the end; dpkg-deb must not die of SIGPIPE
    if unpack.returncode != 0 or extracted.returncode != 0:
        raise PackageError(f"{archive.name} can't be extracted: {extracted.stderr.strip()}")
    shutil.rmtree(downloads)
