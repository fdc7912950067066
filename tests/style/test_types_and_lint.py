"""mypy --strict, ruff and ruff's formatter find nothing, and would find something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.style.source_tree import CHECKOUT

CODE = [
    name
    for name in ("vmm_main", "device_procs", "ipc", "seccomp_profiles", "tools", "tests", "setup.py")
    if (CHECKOUT / name).exists()
]


def run(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=CHECKOUT,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(600)  # without its cache mypy reads all of the standard library's types
def test_types() -> None:
    ran = run("mypy", "--strict", *CODE)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_lint() -> None:
    ran = run("ruff", "check", "--output-format=concise", ".")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_format() -> None:
    ran = run("ruff", "format", "--check", ".")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.timeout(600)
def test_mypy_is_strict_and_knows_the_project() -> None:
    ran = run("mypy", "-c", "from vmm_main.kvm.system import KvmSystem\ndef f(x): return KvmSystem().fdd\n")
    assert ran.returncode == 1
    assert "no-untyped-def" in ran.stdout
    ran = run("mypy", "-c", "from vmm_main.kvm.system import KvmSystem\nKvmSystem().fdd\n")
    assert '"KvmSystem" has no attribute "fdd"' in ran.stdout


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("D100", "ANSWER = 42\n"),
        ("D103", '"""A module."""\n\n\ndef answer() -> int:\n    return 42\n'),
        ("D101", '"""A module."""\n\n\nclass Answer:\n    pass\n'),
        ("BLE001", '"""A module."""\n\ntry:\n    import os\nexcept Exception:\n    os = None\n'),
        ("F401", '"""A module."""\n\nimport os\n'),
        ("E501", f'"""{"x " * 60}."""\n'),
    ],
)
def test_ruff_finds_what_it_should(rule: str, source: str) -> None:
    ran = run(
        "ruff", "check", "--output-format=concise", "--stdin-filename=vmm_main/planted.py", "-", given=source
    )
    assert ran.returncode == 1
    assert f" {rule} " in ran.stdout


def test_the_formatter_finds_what_it_should(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("answer = [ 42,\n 43 ]\n", encoding="utf-8")
    assert run("ruff", "format", "--check", "--config=pyproject.toml", str(planted)).returncode == 1
