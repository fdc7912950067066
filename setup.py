"""The parts of the build that pyproject.toml can't say: C extensions, the launcher, the commit's stamp."""

from __future__ import annotations

import os
import subprocess
import sys
from distutils.command.build_scripts import build_scripts  # setuptools' own copy (it shadows distutils)
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent.resolve()


def git_commit() -> str:
    """The commit of the checkout that is being built, or "unknown" outside of one."""
    asked = subprocess.run(
        ["git", "-c", f"safe.directory={HERE}", "-C", str(HERE), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else "unknown"


class BuildPythonWithCommit(build_py):
    """Adds vmm_main/_build_info.py to what a wheel holds; an editable install asks git itself."""

    def run(self) -> None:
        """Builds as usual, then writes the stamp beside the built modules."""
        super().run()
        if not self.editable_mode:
            stamp = Path(self.build_lib) / "vmm_main" / "_build_info.py"
            stamp.write_text(
                f'"""Written by setup.py."""\n\nGIT_COMMIT = "{git_commit()}"\n', encoding="utf-8"
            )


class BuildLauncher(build_scripts):
    """Compiles the `bulkhead` command: pip's own script wrappers would import site and re at every start."""

    def run(self) -> None:
        """Compiles vmm_main/launcher.c to the scripts folder."""
        Path(self.build_dir).mkdir(parents=True, exist_ok=True)
        editable = self.get_finalized_command("build_py").editable_mode
        program = Path(self.build_dir) / "bulkhead"
        command = [
            os.environ.get("CC", "cc"),
            "-std=gnu11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Wconversion",
            "-Werror",
        ]
        if editable:
            command.append(f'-DSOURCE_DIRECTORY="{HERE}"')
        command += [f'-DFALLBACK_PYTHON="{Path(sys.base_prefix) / "bin" / "python3"}"']
        subprocess.run([*command, "-o", str(program), str(HERE / "vmm_main" / "launcher.c")], check=True)

    def get_source_files(self) -> list[str]:
        """What an sdist needs for the launcher."""
        return ["vmm_main/launcher.c"]


setup(
    cffi_modules=["vmm_main/kvm/build_kvm.py:ffibuilder"],
    scripts=["vmm_main/launcher.c"],
    cmdclass={"build_py": BuildPythonWithCommit, "build_scripts": BuildLauncher},
)
