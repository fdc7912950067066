"""The device processes' code once more, with crash points compiled in: what the normal build hasn't got.

A zygote of it is started by the option that ZygoteRig and SupervisedVm take: -X bulkhead_path=...
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

from device_procs.data_plane.build_data_plane import C_FLAGS, LINK_FLAGS, PACKAGE, SOURCES, make_ffi
from seccomp_profiles.compile_profiles import FILTER_SOURCES
from tools.build_cache import cached
from vmm_main.device_supervisor.spawner import module_path

CHECKOUT = PACKAGE.parent
POINTS_HEADER = PACKAGE / "fault_injection" / "crash_points.h"
_PYTHON_PACKAGES = ("device_procs", "ipc")
_CODE = sorted(path for package in _PYTHON_PACKAGES for path in (CHECKOUT / package).rglob("*.py"))
_HEADERS = sorted((*PACKAGE.rglob("*.h"), *(CHECKOUT / "seccomp_profiles").rglob("*.h")))

# By name, as in crash_points.h.
POINTS = {
    name: int(number)
    for name, number in re.findall(r"#define ((?:CRASH|FAULT)_\w+) (\d+) ", POINTS_HEADER.read_text())
}
CRASHES = tuple(name for name in POINTS if name.startswith("CRASH_"))
CRASHED_STATUS = 99


# A disk that now and then writes where it wasn't told to, and says nothing.
_WRITE = """io->segment_count,
                              io->offset, io->durable"""
_STRAY = _WRITE.replace("io->offset,", "io->offset ^ (writes++ % 50 == 49 ? 512 : 0),")


def _make_straying(directory: Path) -> None:
    source = next(path for path in map(Path, SOURCES) if path.name == "disk_uring.c")
    text = source.read_text(encoding="utf-8")
    assert text.count(_WRITE) == 1
    straying = directory / "straying_disk.c"
    text = text.replace(_WRITE, _STRAY).replace("static ", "static unsigned writes;\nstatic ", 1)
    straying.write_text(text, encoding="utf-8")
    _build(directory, [straying if path == source else path for path in map(Path, SOURCES)])


def _make(directory: Path) -> None:
    _build(directory, [Path(source) for source in SOURCES])


def _build(directory: Path, device_sources: list[Path]) -> None:
    for path in _CODE:
        where = directory / path.relative_to(CHECKOUT)
        where.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, where)
    generated = directory / "device_procs" / "data_plane" / "_data_plane.c"
    make_ffi().emit_c_code(str(generated))
    library = generated.with_name(f"_data_plane{sysconfig.get_config_var('EXT_SUFFIX')}")
    sources = [generated, *device_sources, *(CHECKOUT / source for source in FILTER_SOURCES)]
    command = [
        *("gcc", "-shared", "-fPIC", *C_FLAGS, "-DBULKHEAD_FAULT_BUILD"),
        *("-I", str(CHECKOUT), "-I", str(PACKAGE / "virtio_blk"), "-I", sysconfig.get_path("include")),
        *("-o", str(library), *map(str, sources), *LINK_FLAGS),
    ]
    subprocess.run(command, check=True, cwd=CHECKOUT)


def _build_path(name: str, make: Callable[[Path], None]) -> str:
    sources = [*SOURCES, *(CHECKOUT / source for source in FILTER_SOURCES)]
    directory = cached(name, [*_CODE, *sources, *_HEADERS, *C_FLAGS, _STRAY], make)
    _, folders = module_path()
    return f"{directory}:{folders}"


def fault_build_option() -> str:
    """The -X option of a zygote with that build, which is made when it is first asked for."""
    return f"bulkhead_path={_build_path('fault-build', _make)}"


def straying_build_path() -> str:
    """The folders of a build whose disk writes every fiftieth request a sector off."""
    return _build_path("straying-build", _make_straying)
