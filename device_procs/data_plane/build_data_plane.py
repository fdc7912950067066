"""Builds device_procs.data_plane._data_plane: all C of device processes, without Python.h in our sources.

One extension for all kinds of devices, so that the zygote loads it once and its pages are shared.
Declarations are read from the *_cdef.h headers that the C includes too, so that they are written once.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

from seccomp_profiles.compile_profiles import FILTER_HEADER, FILTER_SOURCES, compile_profiles

PACKAGE = Path(__file__).resolve().parent.parent  # device_procs/
CHECKOUT = PACKAGE.parent

# Part of the `bulkhead` executable, not of the extension.
ELSEWHERE = ("spawner.c",)
GENERATED = "_data_plane.c"

# The data plane's headers use each other's types, in this order; all others use only these.
_ORDER = ["black_box", "guest_memory", "inflight_log", "virtqueue", "device_ops", "worker"]


def _rank(header: Path) -> tuple[int, str]:
    name = header.name.removesuffix("_cdef.h")
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), str(header))


CDEF_HEADERS = [*sorted(PACKAGE.rglob("*_cdef.h"), key=_rank), FILTER_HEADER]
SOURCES = sorted(path for path in PACKAGE.rglob("*.c") if path.name not in (*ELSEWHERE, GENERATED))

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
C_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-fvisibility=hidden", *WARNINGS]
# In the extension itself: a library of its own would be mapped by each zygote.
LINK_FLAGS = ["-l:liburing.a"]


def make_ffi() -> FFI:
    """The extension's builder, as cffi's setuptools hook wants it (paths relative to the checkout)."""
    compile_profiles()
    ffi = FFI()
    for header in CDEF_HEADERS:
        ffi.cdef(header.read_text(encoding="utf-8"))
    includes = "\n".join(f'#include "{header.relative_to(CHECKOUT)}"' for header in CDEF_HEADERS)
    ffi.set_source(
        "device_procs.data_plane._data_plane",
        # cffi's generated wrappers convert implicitly; only our own sources can hold to -Wconversion.
        '#pragma GCC diagnostic ignored "-Wconversion"\n'
        '#pragma GCC diagnostic ignored "-Wsign-conversion"\n'
        '#pragma GCC diagnostic ignored "-Wunused-parameter"\n'
        '#pragma GCC diagnostic ignored "-Wmissing-field-initializers"\n'
        '#pragma GCC diagnostic ignored "-Wcast-function-type"\n'
        "#include <stdint.h>\n#include <stddef.h>\n" + includes,
        sources=[*(str(path.relative_to(CHECKOUT)) for path in SOURCES), *FILTER_SOURCES],
        depends=[str(path.relative_to(CHECKOUT)) for path in (*PACKAGE.rglob("*.h"), FILTER_HEADER)],
        include_dirs=[str(CHECKOUT)],
        extra_compile_args=C_FLAGS,
        extra_link_args=LINK_FLAGS,
    )
    return ffi


ffibuilder = make_ffi()
