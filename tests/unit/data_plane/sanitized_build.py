"""Standalone builds of the data plane under gcc's sanitizers: no Python, no jail."""

from __future__ import annotations

import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
DATA_PLANE = CHECKOUT / "device_procs" / "data_plane"
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Werror"]
MEMORY = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
THREADS = ["-fsanitize=thread", "-Wno-tsan"]  # -Wno-tsan: it doesn't know fences, and needs none of ours


def build(
    program: Path, where: Path, sanitizer: list[str], sources: list[Path], libraries: tuple[str, ...] = ()
) -> Path:
    """Compiles program with sources and libraries; returns the executable."""
    executable = where / f"{program.stem}-{sanitizer[0].partition('=')[2].partition(',')[0]}"
    command: list[str | Path] = [
        "gcc",
        *FLAGS,
        *sanitizer,
        f"-I{CHECKOUT}",
        "-o",
        executable,
        program,
        *sources,
        "-pthread",
        *libraries,
    ]
    subprocess.run(command, check=True)
    return executable
