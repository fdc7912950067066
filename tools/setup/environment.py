"""The virtual environment in the checkout (.venv), with the package installed editable and its C built.

A stamp in it holds a hash of what it was made from, so that a second start only compares.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tools.build_cache import key_of
from tools.setup.debian_packages import SetupError

# What the installed state depends on, besides these globs' matches: the Python that made the environment.
INPUTS = ("pyproject.toml", "setup.py", "*/**/*.c", "*/**/*.h", "*/**/*.cdef", "*/**/build_*.py",
          "seccomp_profiles/*.json", "seccomp_profiles/*.py")  # fmt: skip
NOT_INPUTS = (".venv", "build", "tests", "tools")


def fingerprint(checkout: Path) -> str:
    """A hash of everything that an installation is made from."""
    parts: list[str | bytes | Path] = [sys.version, sys.executable]
    for pattern in INPUTS:
        for path in sorted(checkout.glob(pattern)):
            relative = path.relative_to(checkout)
            # _kvm.c and its like are cffi's output.
            if relative.parts[0] not in NOT_INPUTS and not relative.name.startswith("_"):
                parts += [str(relative), path]
    return key_of(parts)


def prepare_environment(checkout: Path, extra: str, say: Callable[[str], None]) -> Path:
    """Makes or updates .venv if what it was made from has changed.

    Args:
        checkout: The source tree.
        extra: The name of the optional dependencies in pyproject.toml that are wanted too, or "".
        say: Takes messages of progress.

    Returns:
        The environment's python.

    Raises:
        SetupError: pip or the compiler fails; its output is in the message.
    """
    environment = checkout / ".venv"
    python = environment / "bin" / "python"
    stamp = environment / f"bulkhead-setup{'-' if extra else ''}{extra}"
    with (checkout / "pyproject.toml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = fingerprint(checkout)
        if python.exists() and stamp.exists() and stamp.read_text() == wanted:
            return python
        if not python.exists():
            say("making the virtual environment .venv")
            _run([sys.executable, "-m", "venv", str(environment)])
        what = f"{checkout}[{extra}]" if extra else str(checkout)
        say(f"building and installing Bulkhead into .venv{f' with what {extra}s need' if extra else ''}")
        _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", what])
        # Both kinds of installation build the C, so neither stamp of an older state may stand.
        for old in environment.glob("bulkhead-setup*"):
            if old.read_text() != wanted:
                old.unlink()
        stamp.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise SetupError(f"{' '.join(command)} failed:\n{ran.stdout}{ran.stderr}")
