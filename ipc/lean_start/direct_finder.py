"""Imports our own packages' modules without a search, for the lean start (docs/decisions/0004).

Python's finder asks every entry of sys.path, lists folders and composes names anew for each of the sixty
modules that a start imports: 1.4 ms in all. This one looks at the one place where such a module can be. It
takes what is plainly there, a source file with an up-to-date .pyc beside it, and leaves everything else (a
.pyc that is missing or stale, other packages) to Python's, which also writes the .pyc. The extension, and
cffi's that it needs, are files of a known name.
"""

from __future__ import annotations

import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, ExtensionFileLoader, SourceFileLoader
from _imp import extension_suffixes
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

_PACKAGES = ("vmm_main", "ipc", "device_procs")
_OUR_EXTENSIONS = ("vmm_main.kvm._kvm", "device_procs.data_plane._data_plane")
_LIBRARY_EXTENSIONS = ("_socket", "select", "_datetime")  # where Python doesn't have them built in
# PEP 552: magic number, flags (0: valid for a source of this time and size), time, size.
_TIMESTAMP_PYC = MAGIC_NUMBER + bytes(4)
_HEADER_BYTES = 16
_READ_BYTES = 24 << 10  # longer than most: malloc serves it without a mapping of its own
_ST_SIZE, _ST_MTIME = 6, 8  # os.stat_result as a tuple has whole seconds, as a .pyc has


class _LoaderWithCode(SourceFileLoader):
    """Python's loader of source files, with the code already read."""

    def __init__(self, name: str, path: str, code: CodeType, completed: list[str]) -> None:
        super().__init__(name, path)
        self._code: CodeType | None = code
        self._completed = completed

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module, and notes that it is there with all that it imports."""
        super().exec_module(module)
        self._completed.append(module.__name__)

    def get_code(self, fullname: str) -> CodeType | None:
        """Gives the code once; a reload reads the file again."""
        code, self._code = self._code, None
        return super().get_code(fullname) if code is None else code


class DirectFinder:
    """A finder for sys.meta_path."""

    __slots__ = ("_extensions", "_folder", "_suffix", "completed")

    def __init__(self, folder: str, packages: str) -> None:
        """Takes the folder that holds the packages, and the one that holds cffi."""
        self.completed: list[str] = []  # the modules that are there, each behind all that it imports
        self._folder = folder
        suffix = extension_suffixes()[0]
        self._extensions = {"_cffi_backend": f"{packages}/_cffi_backend{suffix}"}
        for name in _OUR_EXTENSIONS:
            self._extensions[name] = f"{folder}/{name.replace('.', '/')}.abi3.so"
        for library in sys.path:
            if library.endswith("/lib-dynload"):
                for name in _LIBRARY_EXTENSIONS:
                    self._extensions[name] = f"{library}/{name}{suffix}"
        self._suffix = f".{sys.implementation.cache_tag}.pyc"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module of ours whose .pyc is up to date; None: ask the next finder."""
        if fullname in self._extensions:
            return _extension_spec(fullname, self._extensions[fullname])
        if path is None:
            if fullname not in _PACKAGES:
                return None
            parent = self._folder
        elif fullname.partition(".")[0] in _PACKAGES:
            parent = path[0]
        else:
            return None
        stem = fullname.rpartition(".")[2]
        source, is_package = f"{parent}/{stem}.py", False
        try:
            status = posix.stat(source)
        except OSError:
            parent, stem = f"{parent}/{stem}", "__init__"
            source, is_package = f"{parent}/__init__.py", True
        try:
            if is_package:
                status = posix.stat(source)
            cached = f"{parent}/__pycache__/{stem}{self._suffix}"
            content = _read(cached)
        except OSError:
            return None
        made_of = _uint32(int(status[_ST_MTIME])) + _uint32(int(status[_ST_SIZE]))
        if content[:_HEADER_BYTES] != _TIMESTAMP_PYC + made_of:
            return None
        code = loads(memoryview(content)[_HEADER_BYTES:])
        spec = ModuleSpec(fullname, _LoaderWithCode(fullname, source, code, self.completed), origin=source)
        if is_package:
            spec.submodule_search_locations = [parent]
        spec.has_location = True
        spec.cached = cached
        return spec


def install(folders: list[str]) -> DirectFinder | None:
    """Puts a finder for our packages before Python's, unless .pyc files are elsewhere or other ones.

    folders: The one that holds our packages, and that of cffi; more don't matter.
    """
    if sys.flags.optimize or sys.pycache_prefix is not None:
        return None
    finder = DirectFinder(*folders[:2])
    sys.meta_path.insert(0, finder)
    return finder


def _extension_spec(fullname: str, path: str) -> ModuleSpec | None:
    try:
        posix.stat(path)
    except OSError:
        return None
    spec = ModuleSpec(fullname, ExtensionFileLoader(fullname, path), origin=path)
    spec.has_location = True
    return spec


def _uint32(number: int) -> bytes:
    return (number & 0xFFFF_FFFF).to_bytes(4, "little")


def _read(path: str) -> bytes:
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        content = posix.read(fd, _READ_BYTES)
        while len(content) % _READ_BYTES == 0 and (more := posix.read(fd, _READ_BYTES)):
            content += more
    finally:
        posix.close(fd)
    return content
