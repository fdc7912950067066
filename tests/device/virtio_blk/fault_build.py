"""The device processes' code once more, with crash points compiled in: what the normal build hasn't got.

A zygote of it is started by the option that ZygoteRig and SupervisedVm take: -X bulkhead_path=...
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
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


def _make(directory: Path) -> None:
    for path in _CODE:
        where = directory / path.relative_to(CHECKOUT)
        where.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, where)
    generated = directory / "device_procs" / "data_plane" / "_data_plane.c"
    make_ffi().emit_c_code(str(generated))
    library = generated.with_name(f"_data_plane{sysconfig.get_config_var('EXT_SUFFIX')}")
    sources = [generated, *SOURCES, *(CHECKOUT / source for source in FILTER_SOURCES)]
    command = [
        *("gcc", "-shared", "-fPIC", *C_FLAGS, "-DBULKHEAD_FAULT_BUILD"),
        *("-I", str(CHECKOUT), "-I", sysconfig.get_path("include")),
        *("-o", str(library), *map(str, sources), *LINK_FLAGS),
    ]
    subprocess.run(command, check=True, cwd=CHECKOUT)


def fault_build_option() -> str:
    """The -X option of a zygote with that build, which is made when it is first asked for."""
    sources = [*SOURCES, *(CHECKOUT / source for source in FILTER_SOURCES)]
    directory = cached("fault-build", [*_CODE, *sources, *_HEADERS, *C_FLAGS], _make)
    _, folders = module_path()
    return f"bulkhead_path={directory}:{folders}"
