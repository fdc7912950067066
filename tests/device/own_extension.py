"""C of a test's own kind of device: compiled once per content, imported by the test and by its zygotes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
C_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]


class OwnExtension:
    """NAME.c with NAME_cdef.h beside it, which may use the data plane's headers.

    A zygote is told by -X NAME_library=PATH where the library is, since it knows no home to look in.

    Attributes:
        library: The compiled file.
        ffi: What cffi makes of it.
        lib: The same.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._header, self._source = folder / f"{name}_cdef.h", folder / f"{name}.c"
        self._name = f"_{name}"
        told = sys._xoptions.get(f"{name}_library")
        self.library = self._compiled(name) if told is None else Path(str(told))
        module = self._load()
        self.ffi = module.ffi
        self.lib = module.lib

    def _compiled(self, name: str) -> Path:
        from tools.build_cache import cached  # not in a zygote, which is made anew after every fault

        headers = sorted((CHECKOUT / "device_procs" / "data_plane").glob("*_cdef.h"))
        parts: list[str | bytes | Path] = [self._header, self._source, *headers, *C_FLAGS]
        made = cached(f"{name}-device", [*parts, importlib.util.MAGIC_NUMBER], self._make)
        (library,) = made.glob(f"{self._name}*.so")
        return library

    def _make(self, directory: Path) -> None:
        from cffi import FFI

        ffi = FFI()
        ffi.cdef(self._header.read_text(encoding="utf-8"))
        ffi.set_source(
            self._name,
            f'#include <stdint.h>\n#include "{self._header.relative_to(CHECKOUT)}"\n',
            sources=[str(self._source)],
            include_dirs=[str(CHECKOUT)],
            extra_compile_args=[*C_FLAGS, "-Wno-unused-parameter", "-Wno-missing-field-initializers"],
        )
        ffi.compile(tmpdir=str(directory))

    def _load(self) -> Any:
        spec = importlib.util.spec_from_file_location(self._name, self.library)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
