"""The files that the style layer looks at."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

CHECKOUT = Path(__file__).resolve().parents[2]


def project_files(checkout: Path = CHECKOUT) -> list[PurePosixPath]:
    """Every file of the project, relative to the checkout: git's, and new ones that git doesn't ignore."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={checkout}", "ls-files", "-z", "-c", "-o", "--exclude-standard"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {name for name in listed.stdout.split("\0") if name and (checkout / name).is_file()}
    return [PurePosixPath(name) for name in sorted(names)]


def plant(root: Path, files: dict[str, str]) -> list[PurePosixPath]:
    """Makes a tree of these files, for showing that a rule finds what breaks it.

    Args:
        root: Where to.
        files: Relative path -> text.

    Returns:
        What project_files() would.
    """
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [PurePosixPath(name) for name in sorted(files)]
