"""A device is a folder, two profiles, a folder of tests and a line in the registry: none may be missing.

Among its tests is what every device's attackers make their chains from (tests/device/hostile_driver/).

Read from the files alone, so that a tree with something missing can be looked at too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

REGISTRY = PurePosixPath("device_procs/device_registry.py")
# In device_procs/, of each device.
OWN_FILES = ("__init__.py", "module.py", "device.py")
THREADS = ("control", "worker")


def missing_parts(root: Path, files: Iterable[PurePosixPath]) -> Iterator[str]:
    """What a device lacks, and what has no device."""
    there = set(files)
    kinds = registered_kinds(root)
    folders = {folder for _, folder in kinds.values()}
    for kind, (_, folder) in kinds.items():
        if folder != kind.replace("-", "_"):
            yield f"{kind}: its folder should be {kind.replace('-', '_')}, not {folder}"
        yield from (f"{kind}: {complaint}" for complaint in _missing_of(folder, there))
    for path in sorted(there):
        match path.parts:
            case ("device_procs", folder, "module.py") if folder not in folders:
                yield f"{path}: no line of {REGISTRY} names {folder}"
            case ("tests", "fuzz", "devices", folder, "target.c") if folder not in folders:
                yield f"{path}: no line of {REGISTRY} names {folder}"
            case ("seccomp_profiles", name) if name.endswith(tuple(f"_{thread}.json" for thread in THREADS)):
                if name.rpartition("_")[0] not in folders:
                    yield f"{path}: no line of {REGISTRY} names {name.rpartition('_')[0]}"


def registered_kinds(root: Path) -> dict[str, tuple[str, str]]:
    """KINDS of the tree's registry: kind -> (driver, folder).

    Raises:
        ValueError: It isn't a table of literals any more.
    """
    for node in ast.parse((root / REGISTRY).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(_is_kinds(target) for target in node.targets):
            kinds: dict[str, tuple[str, str]] = ast.literal_eval(node.value)
            return kinds
    raise ValueError(f"{REGISTRY} has no KINDS")


def _is_kinds(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "KINDS"


def _missing_of(folder: str, there: set[PurePosixPath]) -> Iterator[str]:
    own = PurePosixPath("device_procs") / folder
    tests = PurePosixPath("tests/device") / folder
    wanted = [own / name for name in OWN_FILES]
    wanted += [PurePosixPath("seccomp_profiles") / f"{folder}_{thread}.json" for thread in THREADS]
    wanted += [tests / "__init__.py", tests / "well_formed_requests.py"]
    wanted.append(PurePosixPath("tests/fuzz/devices") / folder / "target.c")
    has_c = any(path.parent == own and path.suffix == ".c" for path in there)
    if has_c:
        wanted.append(tests / "standalone_device.c")
    for path in wanted:
        if path not in there:
            yield f"{path} is missing"
    if has_c and not any(path.parent == own and path.name.endswith("_cdef.h") for path in there):
        yield f"{own} has C, but no *_cdef.h: Python can't see it"
    # The search for rules that nobody uses traces these (tests/device/sandbox/test_unused_rules.py).
    if not any(path.match(f"{tests}/test_jailed_*.py") for path in there):
        yield f"{tests}/test_jailed_*.py is missing"
