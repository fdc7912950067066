"""Who may import whom (DESIGN §3 and §9), read from the source without running it.

- ipc imports neither side.
- device_procs never imports vmm_main.
- vmm_main imports of a device only its description (module.py), the registry and the type of descriptions;
  and a description imports no back end, or main would have it after all.
- What is installed imports neither tests nor tools; nor does a command of tools/ that is installed as a
  package of its own, and of itself by relative imports, since its name changes with that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

INSTALLED = ("vmm_main", "device_procs", "ipc")
COMMANDS = "bulkhead_"  # how packages of tools/ that are installed begin
# Of device_procs, what main may see: these files, and their own imports must stay among them.
DESCRIPTION = re.compile(r"device_procs(\.device_registry|\.device_module|\.\w+\.module)?")


def violations(root: Path, files: Iterable[PurePosixPath]) -> list[str]:
    """Each import that breaks a rule, as "file:line: why"."""
    found = []
    for path in files:
        is_command = path.parts[0] == "tools" and path.parts[1].startswith(COMMANDS)
        if path.suffix not in (".py", ".pyi") or not (path.parts[0] in INSTALLED or is_command):
            continue
        for line, module in imported_modules(root, path):
            why = _complaint_of_command(root, path, line, module) if is_command else _complaint(path, module)
            if why is not None:
                found.append(f"{path}:{line}: {why}")
    return found


def _complaint(importer: PurePosixPath, module: str) -> str | None:
    side, target = importer.parts[0], module.partition(".")[0]
    if target in ("tests", "tools"):
        return f"{side} imports {module}, which isn't installed"
    if side == "ipc" and target in ("vmm_main", "device_procs"):
        return f"ipc imports {module}: it may know neither side"
    if side == "device_procs" and target == "vmm_main":
        return f"device_procs imports {module}: a device process knows nothing of main"
    if target == "device_procs" and DESCRIPTION.fullmatch(module) is None:
        if side == "vmm_main":
            return f"vmm_main imports {module}: of a device, main sees only module.py"
        if DESCRIPTION.fullmatch(_module_name(importer)) is not None:
            return f"{importer} imports {module}: main would have a back end by it"
    return None


def _complaint_of_command(root: Path, importer: PurePosixPath, line: int, module: str) -> str | None:
    own = ".".join(importer.parts[:2])
    if module == own or module.startswith(f"{own}."):
        text = (root / importer).read_text(encoding="utf-8").splitlines()[line - 1]
        is_relative = text.strip().startswith("from .")
        return None if is_relative else f"{module} isn't called that where it is installed"
    if module.partition(".")[0] in ("tests", "tools"):
        return f"{importer.parts[1]} imports {module}, which isn't installed"
    return None


def imported_modules(root: Path, path: PurePosixPath) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, in functions and under TYPE_CHECKING too.

    `from a import b` gives a.b if that is a module or package in the tree, else a.
    """
    for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            package = _resolved(path, node)
            for alias in node.names:
                whole = f"{package}.{alias.name}"
                yield node.lineno, whole if _is_module(root, whole) else package
        elif isinstance(node, ast.Call) and _calls_import(node) and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield node.lineno, argument.value


def _resolved(path: PurePosixPath, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = [*path.parent.parts[: len(path.parent.parts) - node.level + 1]]
    return ".".join([*parts, node.module] if node.module else parts)


def _is_module(root: Path, name: str) -> bool:
    path = root / name.replace(".", "/")
    return path.is_dir() or any(path.with_suffix(suffix).exists() for suffix in (".py", ".pyi"))


def _calls_import(node: ast.Call) -> bool:
    called = node.func
    name = (
        called.attr
        if isinstance(called, ast.Attribute)
        else called.id
        if isinstance(called, ast.Name)
        else ""
    )
    return name in ("import_module", "__import__")


def _module_name(path: PurePosixPath) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
