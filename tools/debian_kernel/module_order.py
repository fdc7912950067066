"""Kernel modules in the order in which they load, read from the modules themselves.

A package that isn't installed has no modules.dep (depmod writes that at installation), but each module says
in its .modinfo section what it depends on.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterable
from pathlib import Path


class ModuleError(Exception):
    """A module that is asked for, or that another one needs, is not in the package."""


def module_name(path: Path) -> str:
    """The name by which modules call each other: underscores, without .ko or .ko.xz."""
    return path.name.split(".ko")[0].replace("-", "_")


def read_module(path: Path) -> bytes:
    """The ELF image of a module, decompressed (newer Debian releases compress modules with xz)."""
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def dependencies(image: bytes) -> list[str]:
    """The names in a module's `depends=` line of .modinfo (NUL-separated `key=value` strings)."""
    found = re.search(rb"\0depends=([^\0]*)\0", image)
    if found is None or not found.group(1):
        return []
    return [name.replace("-", "_") for name in found.group(1).decode("ascii").split(",")]


def load_order(directory: Path, wanted: Iterable[str]) -> list[Path]:
    """The files of the wanted modules and all they depend on, dependencies first.

    Args:
        directory: Holds the package's modules, at any depth.
        wanted: Module names; one that is built into the kernel ("modules.builtin") needs no file.

    Raises:
        ModuleError: one is neither there nor built in.
    """
    files = {module_name(path): path for path in directory.rglob("*.ko*")}
    builtin = {
        module_name(Path(line))
        for listing in directory.rglob("modules.builtin")
        for line in listing.read_text().split()
    }
    order: list[Path] = []
    seen: set[str] = set()

    def visit(name: str, needed_by: str) -> None:
        if name in seen or name in builtin:
            return
        seen.add(name)
        if name not in files:
            raise ModuleError(f"the kernel package has no module {name} ({needed_by})")
        for dependency in dependencies(read_module(files[name])):
            visit(dependency, f"{name} needs it")
        order.append(files[name])

    for name in wanted:
        visit(name.replace("-", "_"), "it is asked for")
    return order
