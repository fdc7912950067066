"""The parts of the build that pyproject.toml can't say: C extensions, the launcher, the commit's stamp."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from distutils.command.build_scripts import build_scripts  # setuptools' own copy (it shadows distutils)
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).parent.resolve()
sys.path.insert(0, str(HERE))  # an isolated build hasn't it; the extensions' build scripts compile profiles
STAMP = Path("vmm_main") / "_build_info.py"

LAUNCHER_SOURCES = [
    "vmm_main/launcher.c",
    "vmm_main/device_supervisor/early_spawner.c",
    "vmm_main/device_supervisor/spawner_start.c",
    "device_procs/zygote/spawner.c",
]
MUSL_GCC = "musl-gcc"
# musl's compiler doesn't look where <linux/...> is.
KERNEL_HEADERS = [
    *("-idirafter", "/usr/include"),
    *("-idirafter", f"/usr/include/{sysconfig.get_config_var('MULTIARCH') or ''}"),
]
LAUNCHER_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror"]


def stamp() -> str:
    """The text of vmm_main/_build_info.py: a checkout's commit, or what the source distribution says."""
    commit = "unknown"
    if (HERE / ".git").exists() and shutil.which("git") is not None:
        asked = subprocess.run(
            ["git", "-c", f"safe.directory={HERE}", "-C", str(HERE), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0:
            commit = asked.stdout.strip()
    elif (HERE / STAMP).exists():
        return (HERE / STAMP).read_text(encoding="utf-8")
    return f'"""Written by setup.py."""\n\nGIT_COMMIT = "{commit}"\n'


def launcher_definitions(source_directory: Path | None) -> list[str]:
    """What launcher.c is told about the Python it is for.

    Args:
        source_directory: The checkout of an editable installation; None if the code is copied.
    """
    texts = {
        "PYTHON_NAME": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "BASE_PREFIX": sys.base_prefix,
    }
    if source_directory is not None:
        texts["SOURCE_DIRECTORY"] = str(source_directory)
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"'})
    return [f'-D{name}="{text.translate(escapes)}"' for name, text in texts.items()]


class BuildPythonWithCommit(build_py):
    """Adds the stamp to what a wheel holds; an editable install asks git itself."""

    def run(self) -> None:
        """Builds as usual, then writes the stamp beside the built modules."""
        super().run()
        if not self.editable_mode:
            (Path(self.build_lib) / STAMP).write_text(stamp(), encoding="utf-8")


class SourceWithCommit(sdist):
    """Adds the stamp to a source distribution, which has no .git."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Copies as usual, then writes the stamp."""
        super().make_release_tree(base_dir, files)
        (Path(base_dir) / STAMP).write_text(stamp(), encoding="utf-8")


class BuildLauncher(build_scripts):
    """Compiles the `bulkhead` command: pip's own script wrappers would import site and re at every start."""

    def run(self) -> None:
        """Compiles the launcher, with the spawner in it, to the scripts folder."""
        Path(self.build_dir).mkdir(parents=True, exist_ok=True)
        builder = self.get_finalized_command("build_py")
        editable = getattr(builder, "editable_mode", False)
        program = Path(self.build_dir) / "bulkhead"
        command = [
            os.environ.get("CC", "cc"),
            *LAUNCHER_FLAGS,
            *launcher_definitions(HERE if editable else None),
        ]
        sources = [str(HERE / source) for source in LAUNCHER_SOURCES]
        command += [f"-I{HERE}", "-o", str(program), *sources]
        # With musl it is up 0.3 ms sooner than with the shared C library, and small as the spawner. Where it
        # isn't there, the static C library; where that has a package of its own, do without.
        attempts = [[*command, "-static-pie"], command]
        if shutil.which(MUSL_GCC) is not None:
            attempts.insert(0, [MUSL_GCC, *command[1:], "-static", *KERNEL_HEADERS])
        for attempt in attempts[:-1]:
            if subprocess.run(attempt, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                return
        subprocess.run(attempts[-1], check=True)

    def get_source_files(self) -> list[str]:
        """What a source distribution needs of C and profiles, the extensions' included."""
        return [
            str(path.relative_to(HERE))
            for package in ("vmm_main", "device_procs", "seccomp_profiles")
            for pattern in ("*.c", "*.h", "*.cdef", "*.json")
            for path in sorted(HERE.glob(f"{package}/**/{pattern}"))
        ]


if __name__ == "__main__":
    setup(
        cffi_modules=[
            "vmm_main/kvm/build_kvm.py:ffibuilder",
            "device_procs/data_plane/build_data_plane.py:ffibuilder",
        ],
        scripts=["vmm_main/launcher.c"],
        options={"build_ext": {"parallel": "2"}},  # the two extensions side by side
        cmdclass={
            "build_py": BuildPythonWithCommit,
            "build_scripts": BuildLauncher,
            "sdist": SourceWithCommit,
        },
    )
