"""The same tests by an ordinary user: the jail is no weaker without privileges, only its uid is shared.

From a copy that everybody may read, with this environment's packages in it.
"""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.style.source_tree import CHECKOUT, project_files

PACKAGES = ("pytest", "pytest-timeout", "pluggy", "iniconfig", "packaging", "pygments", "cffi", "pycparser")
OURS = ("msgpack", "pyseccomp", "hypothesis", "sortedcontainers")
TESTS = (
    *("sandbox/test_profiles.py", "sandbox/test_jail.py", "sandbox/test_deaths.py"),
    *("zygote/test_zygote.py", "zygote/test_leaks.py"),
    *("supervisor/test_zygote_deaths.py", "supervisor/test_policies.py", "supervisor/test_deaths_in_life.py"),
)


@pytest.fixture
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("copy")
    built = [path.relative_to(CHECKOUT) for path in CHECKOUT.glob("*/*/_*.so")]
    for path in (*project_files(), *built):
        (where / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / path, where / path)
    for name in (*PACKAGES, *OURS):
        for file in importlib.metadata.distribution(name).files or []:
            if ".." not in file.parts and file.suffix != ".pyc":
                (where / "packages" / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), where / "packages" / file)
    shutil.copy(Path(sys.executable).parent / "bulkhead", where / "bulkhead")
    for folder in (where, *where.parents[:2]):
        folder.chmod(0o755)
    return where


@pytest.mark.timeout(600)
def test_the_jail_is_the_same(copy: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    home = copy / "home"
    home.mkdir()
    as_nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    ran = subprocess.run(
        [
            *(os.path.realpath(sys.executable), "-X", f"bulkhead_launcher={copy / 'bulkhead'}"),
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={home / 'tests'}"),
            *(f"tests/device/{test}" for test in TESTS),
        ],
        cwd=copy,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(copy / "packages")},
        capture_output=True,
        text=True,
        check=False,
        **as_nobody,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert " passed" in ran.stdout
