"""Runs anything with the C library's other ways: no vDSO, no rseq, another C library.

python -m tests.device.other_libraries.other_python [--no-vdso] [--no-rseq] [--c-library FOLDER] COMMAND

`python` and `bulkhead` are those of an environment like this one, whose Python is other_python.c.
FOLDER has another ld-linux-x86-64.so.2 and libc.so.6, as in the package libc6 of another Debian.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.build_cache import cached

SOURCE = Path(__file__).with_name("other_python.c")
CHECKOUT = Path(__file__).resolve().parents[3]
NO_VDSO = ("-DHIDES_VDSO",)
NO_RSEQ = ('-DTUNABLES="glibc.pthread.rseq=0"',)


def c_library(folder: Path) -> tuple[str, ...]:
    """What other_python.c is compiled with for the C library in a folder."""
    return (f'-DC_LIBRARY="{folder.resolve()}"',)


def zygotes_path(path: str) -> tuple[str, ...]:
    """What it is compiled with to have zygotes import from other folders (-X bulkhead_path)."""
    return (f'-DZYGOTE_PATH="{path}"',)


def other_environment(*flags: str) -> Path:
    """An environment like this one, with the Python that other_python.c makes of such flags; its `bin`."""
    own = Path(sys.prefix)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    real = os.path.realpath(sys.executable)

    def make(directory: Path) -> None:
        programs = directory / "bin"
        programs.mkdir()
        compiler = [
            "gcc",
            "-D_GNU_SOURCE",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            f'-DPYTHON="{real}"',
            *flags,
        ]
        subprocess.run([*compiler, "-o", programs / name, SOURCE], check=True)
        (programs / "python").symlink_to(name)
        # A program finds its environment by where it lies; other environments' are one folder up.
        shutil.copy2(own / "bin" / "bulkhead", programs)
        shutil.copy2(own / "pyvenv.cfg", directory)
        (directory / "lib").symlink_to(own / "lib")

    launcher = own / "bin" / "bulkhead"
    return cached("other-python", [SOURCE, launcher, real, str(own), *flags], make) / "bin"


def run_with(programs: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of that environment in the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    words = [str(programs / command[0]), *command[1:]]
    return subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)


def main() -> int:
    """Runs the command line's command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-vdso", action="store_true")
    parser.add_argument("--no-rseq", action="store_true")
    parser.add_argument("--c-library", type=Path, metavar="FOLDER")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    flags = (
        *(NO_VDSO if given.no_vdso else ()),
        *(NO_RSEQ if given.no_rseq else ()),
        *(c_library(given.c_library) if given.c_library else ()),
    )
    if not given.command:
        parser.error("a command is missing")
    programs = other_environment(*flags)
    program = programs / given.command[0]
    os.environ["BULKHEAD_PROGRAM"] = str(programs / "bulkhead")
    return os.execv(program, [str(program), *given.command[1:]])


if __name__ == "__main__":
    sys.exit(main())
