"""Builds vmm_main.kvm._kvm: KVM's ioctls, the vCPU run loop, and the UART's hot half, in C.

Struct layouts come from <linux/kvm.h> by cffi's "...": none is typed by hand. Our own declarations are read
from the *_cdef.h headers that the C includes too, so that they are written once.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

PACKAGE = Path(__file__).parent.parent  # vmm_main/

# Headers in plain C declarations (no preprocessor beyond the include guard-free body): for C and cffi alike.
CDEF_HEADERS = sorted(PACKAGE.rglob("*_cdef.h"))
SOURCES = sorted(path for path in PACKAGE.rglob("*.c") if path.name not in ("_kvm.c", "launcher.c"))

C_FLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
# cffi's generated wrappers convert implicitly; only our own sources can hold to -Wconversion.
GENERATED_C_FLAGS = ["-Wno-conversion", "-Wno-sign-conversion", "-Wno-unused-parameter"]

ffibuilder = FFI()
for header in CDEF_HEADERS:
    ffibuilder.cdef(header.read_text(encoding="utf-8"))
