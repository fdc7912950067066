"""What is imported from other projects is declared in pyproject.toml, and tools run on a bare Python."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest

from tests.style.import_rules import imported_modules
from tests.style.source_tree import CHECKOUT, plant, project_files

OWN = {"vmm_main", "device_procs", "ipc", "seccomp_profiles", "tools", "tests"}
# Of tools/, what runs in the virtual environment: the rest starts before there is one.
IN_THE_ENVIRONMENT = ("tools/fake_driver/", "tools/benchmarks/doorbell.py", "tools/benchmarks/null_queue.py")


def top_names(requirements: Iterable[str]) -> set[str]:
    """The import names that requirements like "qemu.qmp>=0.0.3" bring (here they are the projects' names)."""
    names = {re.split(r"[^\w]", requirement)[0].replace("-", "_") for requirement in requirements}
    return names | ({"_cffi_backend"} if "cffi" in names else set())


def undeclared(root: Path, files: Iterable[PurePosixPath], project: dict[str, object]) -> list[str]:
    """Each import of a package that nobody says is needed.

    Args:
        root: The tree.
        files: Its files.
        project: pyproject.toml, read.
    """
    match project:
        case {
            "project": {"dependencies": list(needed), "optional-dependencies": {"test": list(for_tests)}},
            "build-system": {"requires": list(for_building)},
        }:
            installed, testing, building = map(top_names, (needed, for_tests, for_building))
        case _:
            raise AssertionError("pyproject.toml has no dependencies, or none for tests")
    allowed = dict.fromkeys(("vmm_main", "device_procs", "ipc"), installed)
    allowed |= {"tests": installed | testing, "tools": set(), "seccomp_profiles": building}
    found = []
    for path in files:
        if path.suffix == ".py" and path.parts[0] in allowed:
            may = installed if str(path).startswith(IN_THE_ENVIRONMENT) else allowed[path.parts[0]]
            for line, module in imported_modules(root, path):
                name = module.partition(".")[0]
                if name not in sys.stdlib_module_names | OWN | may:
                    found.append(f"{path}:{line} imports {name}, which pyproject.toml doesn't declare for it")
    return found


def project() -> dict[str, object]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_declared() -> None:
    assert undeclared(CHECKOUT, project_files(), project()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("vmm_main/start.py", "import psutil"),
        ("vmm_main/start.py", "import pytest"),
        ("ipc/channel.py", "def f():\n    from requests.sessions import Session"),
        ("tools/bench.py", "import cffi"),
        ("tools/fake_driver/queue.py", "import pytest"),
        ("device_procs/zygote/zygote.py", "import pyseccomp"),
        ("tests/test_it.py", "import numpy as np"),
    ],
)
def test_a_package_that_is_not_declared_is_found(tmp_path: Path, path: str, source: str) -> None:
    assert len(undeclared(tmp_path, plant(tmp_path, {path: source}), project())) == 1


def test_declared_packages_are_let_alone(tmp_path: Path) -> None:
    files = plant(
        tmp_path,
        {
            "vmm_main/start.py": "import os, cffi, ipc.channel",
            "tests/t.py": "import pytest, qemu.qmp",
            "tools/fake_driver/queue.py": "import cffi",
            "seccomp_profiles/compile.py": "import pyseccomp",
        },
    )
    assert undeclared(tmp_path, files, project()) == []
