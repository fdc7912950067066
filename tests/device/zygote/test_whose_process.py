"""Who runs main, and how it ends: an ordinary user, a user without namespaces, and a main that is killed."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "main_program.py"
HANGS_AFTER_S = 20.0
GONE_WITHIN_S = 1.0


@contextmanager
def running_main(
    lock_file: Path, *before: str, **options: Any
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A process that stands for main, and what it says."""
    command = [*before, sys.executable, str(PROGRAM), str(lock_file), "seccomp"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def as_nobody() -> dict[str, Any]:
    """Options of Popen: an ordinary user, whoever runs the tests."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    return tmp_path / "uids.lock"


def test_an_ordinary_users_devices_have_the_same_jail(lock_file: Path) -> None:
    with running_main(lock_file, **as_nobody()) as (process, told):
        certificate = told["certificate"]
        uid, gid = told["ids"]
        assert uid != 0
        assert not told["own_uids"]
        status = dict(line.split(":", 1) for line in certificate["status"].splitlines() if ":" in line)
        assert {status[f"Cap{name}"].strip() for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert status["NoNewPrivs"].strip() == "1"
        assert certificate["uid_map"].split() == [
            "0",
            "1",
            "1",
        ]  # outside: of the zygote's own user namespace
        (mount,) = certificate["mountinfo"].splitlines()
        assert mount.split()[3:5] == ["/", "/"]
        spawner, zygote, device = told["pids"]
        for pid in (spawner, zygote, device):
            seen = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}" in seen
            assert f"Gid:\t{gid}\t{gid}\t{gid}\t{gid}" in seen
        namespaces = dict(link.split(":", 1) for link in certificate["namespaces"])
        for name, number in namespaces.items():
            assert f"{name}:{number}" != os.readlink(f"/proc/self/ns/{name}")
        process.communicate(timeout=HANGS_AFTER_S)
        assert process.returncode == 0


def test_a_host_without_user_namespaces_is_named(lock_file: Path) -> None:
    """The setting counts in the user namespace that it is made in: nobody else's is touched."""
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    command = ("unshare", "--user", "--map-root-user", "--", "sh", "-c", forbid, "sh")
    with running_main(lock_file, *command, **as_nobody()) as (process, told):
        assert told["answer"]["stage"] == "net namespace"
        assert "the sysctl user.max_user_namespaces is 0" in told["answer"]["reason"]
        process.communicate(timeout=HANGS_AFTER_S)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_nothing_outlives_main(lock_file: Path, number: signal.Signals) -> None:
    with running_main(lock_file) as (process, told):
        pidfds = [os.pidfd_open(pid) for pid in told["pids"]]
        process.send_signal(number)
        process.wait(HANGS_AFTER_S)
        until = time.monotonic() + GONE_WITHIN_S
        while (alive := [pid for pid in told["pids"] if _lives(pid)]) and time.monotonic() < until:
            os.sched_yield()
        assert alive == []
        for pidfd in pidfds:
            os.close(pidfd)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")  # what is left of a process for whoever inherits it
