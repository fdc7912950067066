"""--version's two halves."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vmm_main import version

if TYPE_CHECKING:
    import pytest

CHECKOUT = Path(version.__file__).parent.parent


def test_checkout_is_asked_itself() -> None:
    commit = version.git_commit()
    assert re.fullmatch(r"[0-9a-f]{12}", commit)
    full = subprocess.run(
        ["git", "-c", f"safe.directory={CHECKOUT}", "rev-parse", "HEAD"],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert full.stdout.startswith(commit)


def test_checkout_without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert version.git_commit() == "unknown"


def test_installed_package_carries_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "vmm_main"
    package.mkdir()
    shutil.copy(version.__file__, package)
    spec = importlib.util.spec_from_file_location("installed_version", package / "version.py")
    assert spec is not None
    assert spec.loader is not None
    installed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(installed)
    monkeypatch.delitem(sys.modules, "vmm_main._build_info", raising=False)
    assert installed.git_commit() == "unknown"
    (tmp_path / "_build_info.py").write_text('GIT_COMMIT = "0123456789ab"\n')
    stamp = importlib.util.spec_from_file_location("vmm_main._build_info", tmp_path / "_build_info.py")
    assert stamp is not None
    assert stamp.loader is not None
    module = importlib.util.module_from_spec(stamp)
    stamp.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "vmm_main._build_info", module)
    monkeypatch.setattr("vmm_main._build_info", module, raising=False)
    assert installed.git_commit() == "0123456789ab"


def test_version_is_one_that_packaging_accepts() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", version.VERSION)
