"""Compiles hostile_calls.c once per content, and imports it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[2]
HEADER, SOURCE = HERE / "hostile_calls_cdef.h", HERE / "hostile_calls.c"
NAME = "_hostile_calls"
C_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]


def _make(directory: Path) -> None:
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(HEADER.read_text(encoding="utf-8"))
    ffi.set_source(
        NAME,
        f'#include <stdint.h>\n#include "{HEADER.relative_to(CHECKOUT)}"\n',
        sources=[str(SOURCE)],
        include_dirs=[str(CHECKOUT)],
        extra_compile_args=[*C_FLAGS, "-Wno-unused-parameter", "-Wno-missing-field-initializers"],
    )
    ffi.compile(tmpdir=str(directory))


def _library() -> Path:
    """The compiled library; a zygote is told where the test has it, since it knows no home to look in."""
    if "hostile_library" in sys._xoptions:
        return Path(str(sys._xoptions["hostile_library"]))
    from tools.build_cache import cached  # not in a zygote, which is made anew after every fault

    headers = sorted((CHECKOUT / "device_procs" / "data_plane").glob("*_cdef.h"))
    parts: list[str | bytes | Path] = [HEADER, SOURCE, *headers, *C_FLAGS, importlib.util.MAGIC_NUMBER]
    (library,) = cached("hostile-device", parts, _make).glob(f"{NAME}*.so")
    return library


LIBRARY = _library()


def _load() -> Any:
    spec = importlib.util.spec_from_file_location(NAME, LIBRARY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_module = _load()
ffi = _module.ffi
lib = _module.lib
