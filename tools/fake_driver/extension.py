"""Compiles the fake driver's C once per content, and imports it.

It isn't part of what is installed, so it isn't in setup.py; a C compiler is there wherever Bulkhead was built
from its checkout.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from cffi import FFI

from tools.build_cache import cached

HERE = Path(__file__).resolve().parent
HEADERS = sorted(HERE.glob("*_cdef.h"))
SOURCES = sorted(HERE.glob("*.c"))
NAME = "_fake_queue"
C_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Werror"]


def _make(directory: Path) -> None:
    ffi = FFI()
    for header in HEADERS:
        ffi.cdef(header.read_text(encoding="utf-8"))
    includes = "\n".join(f'#include "{header.name}"' for header in HEADERS)
    ffi.set_source(
        NAME,
        '#pragma GCC diagnostic ignored "-Wunused-parameter"\n'
        '#pragma GCC diagnostic ignored "-Wmissing-field-initializers"\n'
        '#pragma GCC diagnostic ignored "-Wcast-function-type"\n'
        f"#include <stdint.h>\n{includes}\n",
        sources=[str(source) for source in SOURCES],
        include_dirs=[str(HERE)],
        extra_compile_args=C_FLAGS,
    )
    ffi.compile(tmpdir=str(directory))


def _load() -> ModuleType:
    parts: list[str | bytes | Path] = [*HEADERS, *SOURCES, *C_FLAGS, importlib.util.MAGIC_NUMBER]
    (library,) = cached("fake-driver", parts, _make).glob(f"{NAME}*.so")
    spec = importlib.util.spec_from_file_location(NAME, library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_module = _load()
ffi = _module.ffi
lib = _module.lib
