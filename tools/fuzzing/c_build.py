"""Builds a device's C, unjailed, with the harness and libFuzzer, under clang's sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools.build_cache import cached
from tools.fuzzing.targets import CHECKOUT, FUZZ, Target

COMPILER = "clang-14"
FLAGS = (
    *("-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-inline"),
    *("-Wall", "-Wextra", "-Wconversion", "-Werror"),
    *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"),
)
DATA_PLANE = ("guest_memory.c", "host_call.c", "inflight_log.c", "virtqueue.c", "virtqueue_errors.c")
LIBRARIES = ("-l:liburing.a",)


class BuildError(Exception):
    """The target doesn't compile; the compiler's words are the text."""


def sources_of(target: Target) -> list[Path]:
    """The C files that are linked."""
    device = CHECKOUT / "device_procs" / target.source.name
    return [
        *sorted((FUZZ / "harness").glob("*.c")),
        *sorted(target.source.glob("*.c")),
        *sorted(device.glob("*.c")),
        *(CHECKOUT / "device_procs" / "data_plane" / name for name in DATA_PLANE),
    ]


def build(target: Target) -> Path:
    """The executable, from the cache if nothing that it is made of has changed.

    Raises:
        BuildError: The compiler refuses it.
        CacheError: There is no place for it.
    """
    sources = sources_of(target)
    headers = sorted({*CHECKOUT.glob("device_procs/*/*.h"), *FUZZ.glob("*/*.h"), *target.source.glob("*.h")})

    def make(directory: Path) -> None:
        command = [COMPILER, *FLAGS, f"-I{CHECKOUT}", "-o", str(directory / target.name)]
        ran = subprocess.run(
            [*command, *map(str, sources), *LIBRARIES], capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            raise BuildError(ran.stderr)

    # Of this checkout: what it says of itself has its paths.
    parts: list[str | bytes | Path] = [str(CHECKOUT), *FLAGS, *sources, *headers]
    return cached(f"fuzz-{target.name}", parts, make) / target.name
