"""A copy of the built project and its packages that everybody may read, for runs as an ordinary user."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.style.source_tree import CHECKOUT, project_files

_TOOLS = ("pytest", "pytest-timeout", "pluggy", "iniconfig", "packaging", "pygments", "cffi", "pycparser")
_OURS = ("msgpack", "pyseccomp", "hypothesis", "sortedcontainers")


class ReadableCopy:
    """The copy.

    Attributes:
        folder: The project's.
        packages: Where the packages are.
        launcher: The compiled `bulkhead`.
        python: The interpreter, which isn't this environment's own.
    """

    def __init__(self, folder: Path) -> None:
        """Makes it in an empty folder."""
        self.folder = folder
        self.packages = folder / "packages"
        self.launcher = folder / "bulkhead"
        self.python = os.path.realpath(sys.executable)
        built = [path.relative_to(CHECKOUT) for path in CHECKOUT.glob("*/*/_*.so")]
        for path in (*project_files(), *built):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / path, folder / path)
        for name in (*_TOOLS, *_OURS):
            for file in importlib.metadata.distribution(name).files or []:
                if ".." not in file.parts and file.suffix != ".pyc":
                    (self.packages / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file.locate(), self.packages / file)
        shutil.copy(Path(sys.executable).parent / "bulkhead", self.launcher)
        folder.chmod(0o755)


@contextmanager
def readable_copy() -> Iterator[ReadableCopy]:
    """The copy, in a folder of its own: pytest closes its folders whenever somebody starts another pytest."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-copy-") as folder:
        yield ReadableCopy(Path(folder))
