"""The root disk as it is made: a sound file system with an installed Debian, and everything's owner."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest


def debugfs(disk: Path, request: str) -> str:
    """What debugfs answers about the disk, which nothing mounts."""
    asked = subprocess.run(
        ["debugfs", "-R", request, str(disk)], capture_output=True, text=True, errors="replace", check=True
    )
    return asked.stdout


def test_the_file_system_is_sound(root_disk: Path) -> None:
    checked = subprocess.run(
        ["e2fsck", "-f", "-n", str(root_disk)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "Pass 5" in checked.stdout


def test_every_package_is_installed_and_configured(root_disk: Path) -> None:
    status = debugfs(root_disk, "cat /var/lib/dpkg/status")
    names = re.findall(r"^Package: (.*)$", status, flags=re.MULTILINE)
    states = re.findall(r"^Status: (.*)$", status, flags=re.MULTILINE)
    assert states == ["install ok installed"] * len(names)
    assert {"apt", "bash", "coreutils", "e2fsprogs", "fio", "util-linux"} <= set(names)


@pytest.mark.parametrize(
    ("path", "mode", "owner"),
    [
        ("/", "0755", "0:0"),
        ("/root", "0700", "0:0"),
        ("/tmp", "01777", "0:0"),
        ("/etc/shadow", "0640", "0:42"),
        ("/usr/bin/passwd", "04755", "0:0"),
        ("/usr/sbin/unix_chkpwd", "02755", "0:42"),
        ("/var/mail", "02775", "0:8"),
        ("/etc/inittab", "0644", "0:0"),
        ("/usr/local/sbin/guest-start", "0755", "0:0"),
        ("/dev/null", "0666", "0:0"),
    ],
)
def test_files_belong_to_whom_the_packages_say(root_disk: Path, path: str, mode: str, owner: str) -> None:
    told = debugfs(root_disk, f"stat {path}")
    found = re.search(r"(?s)Mode: +(\d+).*\nUser: +(\d+) +Group: +(\d+)", told)
    assert found is not None, told
    assert (found.group(1), f"{found.group(2)}:{found.group(3)}") == (mode, owner)


def test_nothing_of_the_making_is_left(root_disk: Path) -> None:
    for name in ("/mnt", "/proc", "/sys", "/run/lock", "/usr/lib/x86_64-linux-gnu/libfakeroot"):
        listed = debugfs(root_disk, f"ls -p {name}").split("\n")
        names = {line.split("/")[5] for line in listed if line.startswith("/")}
        assert names <= {".", ".."}, name
    assert debugfs(root_disk, "cat /usr/sbin/policy-rc.d") == ""
