"""Builds vmm_main.kvm._kvm: KVM's ioctls, the vCPU run loop, and the UART's hot half, in C.

Struct layouts come from <linux/kvm.h> by cffi's "...": none is typed by hand. Our own declarations are read
from the *_cdef.h headers that the C includes too, so that they are written once.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

from seccomp_profiles.compile_profiles import FILTER_HEADER, FILTER_SOURCES, compile_profiles

PACKAGE = Path(__file__).resolve().parent.parent  # vmm_main/
CHECKOUT = PACKAGE.parent

# What main shares with device processes: a page's layout, how privileges are dropped, and a name.
DEVICES = CHECKOUT / "device_procs"
SHARED_HEADERS = [
    DEVICES / "data_plane" / "black_box_cdef.h",
    DEVICES / "sandbox" / "capabilities_cdef.h",
    DEVICES / "sandbox" / "process_name_cdef.h",
    FILTER_HEADER,
]
# The launcher's (setup.py), which runs before Python.
LAUNCHER_ONLY = ("launcher.c", "early_spawner.c")
SHARED_SOURCES = (
    "device_procs/sandbox/capabilities.c",
    "device_procs/sandbox/process_name.c",
    *FILTER_SOURCES,
)
# Headers of plain C declarations (no #include, no #ifdef): for the C sources and cffi alike.
CDEF_HEADERS = [*sorted(PACKAGE.rglob("*_cdef.h")), *SHARED_HEADERS]
KERNEL_API = PACKAGE / "kvm" / "kvm_api.cdef"
SOURCES = sorted(path for path in PACKAGE.rglob("*.c") if path.name not in ("_kvm.c", *LAUNCHER_ONLY))

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
C_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-fvisibility=hidden", *WARNINGS]


def make_ffi() -> FFI:
    """The extension's builder, as cffi's setuptools hook wants it (paths relative to the checkout)."""
    compile_profiles()
    ffi = FFI()
    ffi.cdef(KERNEL_API.read_text(encoding="utf-8"))
    for header in CDEF_HEADERS:
        ffi.cdef(header.read_text(encoding="utf-8"))
    includes = "\n".join(f'#include "{header.relative_to(CHECKOUT)}"' for header in CDEF_HEADERS)
    ffi.set_source(
        "vmm_main.kvm._kvm",
        # cffi's generated wrappers convert implicitly; only our own sources can hold to -Wconversion.
        '#pragma GCC diagnostic ignored "-Wconversion"\n'
        '#pragma GCC diagnostic ignored "-Wsign-conversion"\n'
        '#pragma GCC diagnostic ignored "-Wunused-parameter"\n'
        '#pragma GCC diagnostic ignored "-Wmissing-field-initializers"\n'
        '#pragma GCC diagnostic ignored "-Wcast-function-type"\n'
        "#include <stdint.h>\n#include <linux/kvm.h>\n" + includes,
        sources=[*(str(path.relative_to(CHECKOUT)) for path in SOURCES), *SHARED_SOURCES],
        depends=[str(path.relative_to(CHECKOUT)) for path in (*PACKAGE.rglob("*.h"), *SHARED_HEADERS)],
        include_dirs=[str(CHECKOUT)],
        extra_compile_args=C_FLAGS,
    )
    return ffi


ffibuilder = make_ffi()
