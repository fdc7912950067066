"""The same tests by an ordinary user: the jail is no weaker without privileges, only its uid is shared.

From a copy that everybody may read, with this environment's packages in it.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.device.readable_copy import ReadableCopy, readable_copy

TESTS = (
    *("sandbox/test_profiles.py", "sandbox/test_jail.py", "sandbox/test_deaths.py"),
    *("zygote/test_zygote.py", "zygote/test_leaks.py", "audit/test_other_roles.py", "audit/test_looks.py"),
    *("audit/test_planted.py", "audit/test_places.py", "audit/test_lies.py"),
    *("audit/test_planted_makers.py", "audit/test_unix_sockets.py", "audit/test_program_files.py"),
    *("supervisor/test_zygote_deaths.py", "supervisor/test_policies.py", "supervisor/test_deaths_in_life.py"),
    *("virtio_blk/test_jailed_disk.py", "virtio_blk/test_jailed_direct.py", "virtio_blk/test_hostile_log.py"),
)


@pytest.fixture
def copy() -> Iterator[ReadableCopy]:
    with readable_copy() as made:
        yield made


@pytest.mark.timeout(600)
def test_the_jail_is_the_same(copy: ReadableCopy) -> None:
    nobody = pwd.getpwnam("nobody")
    home = copy.folder / "home"
    home.mkdir()
    as_nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    ran = subprocess.run(
        [
            *(copy.python, "-X", f"bulkhead_launcher={copy.launcher}"),
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={home / 'tests'}"),
            *(f"tests/device/{test}" for test in TESTS),
        ],
        cwd=copy.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(copy.packages)},
        capture_output=True,
        text=True,
        check=False,
        **as_nobody,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert " passed" in ran.stdout
