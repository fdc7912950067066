"""A device that can't have its namespaces: the zygote says what is in the way, under its filter too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("limited_program.py")


@pytest.mark.parametrize("filters", ["seccomp", "no-seccomp"])
def test_the_limit_is_named(tmp_path: Path, filters: str) -> None:
    """It used to read settings by calls that its filter refuses, and died instead of answering."""
    ran = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, PROGRAM, tmp_path / "uids.lock", filters],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    before, after, fields = json.loads(ran.stdout)
    assert (before, after, fields["stage"]) == ("MADE_DEVICE", "FAILED", "clone")
    assert "the sysctls user.max_*_namespaces" in fields["reason"]  # its own namespace has another limit
