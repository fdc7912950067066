"""The C compiles without a warning, also of kinds that the build doesn't ask for and from gcc's analyser."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from device_procs.data_plane import build_data_plane
from tests.style.source_tree import CHECKOUT
from vmm_main.kvm import build_kvm
from vmm_main.kvm.build_kvm import C_FLAGS, WARNINGS

MORE_WARNINGS = [
    *("-fanalyzer", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wold-style-definition"),
    *(
        "-Wcast-qual",
        "-Wpointer-arith",
        "-Wundef",
        "-Wvla",
        "-Wwrite-strings",
        "-Wformat=2",
        "-Wnull-dereference",
    ),
    *("-Wduplicated-cond", "-Wlogical-op", "-Wimplicit-fallthrough"),
]
# What is linked into the extensions; profiles are compiled to one more file, of data.
SOURCES = sorted(
    {
        *build_kvm.SOURCES,
        *build_data_plane.SOURCES,
        CHECKOUT / "device_procs" / "zygote" / "spawner.c",
        CHECKOUT / "vmm_main" / "device_supervisor" / "early_spawner.c",
        CHECKOUT / "seccomp_profiles" / "filters.c",
        *(CHECKOUT / "tools").rglob("*.c"),
    }
)
GENERATED = {"_kvm.c", "_data_plane.c", "_compiled_profiles.c"}
LAUNCHER = CHECKOUT / "vmm_main" / "launcher.c"
LAUNCHER_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", '-DPYTHON_NAME="python3.11"', '-DBASE_PREFIX="/usr"']


def compile_with_warnings(source: Path, flags: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["gcc", *flags, f"-I{CHECKOUT}", *MORE_WARNINGS, "-c", "-o", "/dev/null", str(source)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_builds_take_warnings_for_errors() -> None:
    for build in (build_kvm, build_data_plane):
        assert {"-Wall", "-Wextra", "-Wconversion", "-Werror"} <= set(build.WARNINGS) <= set(build.C_FLAGS)


def test_every_c_file_is_looked_at() -> None:
    found = {
        path
        for folder in ("vmm_main", "device_procs", "seccomp_profiles", "tools")
        for path in (CHECKOUT / folder).rglob("*.c")
        if path.name not in GENERATED
    }
    assert {*SOURCES, LAUNCHER} == found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_extension_has_no_warning(source: Path) -> None:
    ran = compile_with_warnings(source, C_FLAGS)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("also", [[], ['-DSOURCE_DIRECTORY="/somewhere"']], ids=["installed", "editable"])
def test_the_launcher_has_no_warning(also: list[str]) -> None:
    ran = compile_with_warnings(LAUNCHER, [*LAUNCHER_FLAGS, *WARNINGS, *also])
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("warning", "text"),
    [
        ("-Werror=conversion", "char narrow(int x);\nchar narrow(int x) { return x; }\n"),
        ("-Werror=unused-variable", "int f(void);\nint f(void) { int x; return 0; }\n"),
        ("-Werror=shadow", "int f(int x);\nint f(int x) { for (int x = 0; x < 9;) return x; return x; }\n"),
        ("-Werror=missing-prototypes", "int f(void) { return 0; }\n"),
        (
            "-Werror=analyzer-double-free",
            "#include <stdlib.h>\nvoid f(char *p);\nvoid f(char *p) { free(p); free(p); }\n",
        ),
    ],
)
def test_a_warning_fails_the_build(tmp_path: Path, warning: str, text: str) -> None:
    source = tmp_path / "planted.c"
    source.write_text(text, encoding="utf-8")
    ran = compile_with_warnings(source, C_FLAGS)
    assert ran.returncode == 1
    assert warning in ran.stderr
