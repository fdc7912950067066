"""Runs a test's function in a process of its own, as a user would see it: exit status and standard error."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

DEADLINE_S = 60.0


def command(function: Callable[..., Any]) -> list[str]:
    """The command that runs function's body; its arguments, all strings, follow."""
    source = textwrap.dedent(inspect.getsource(function))
    call = f"import sys\nsys.exit({function.__name__}(*sys.argv[1:]))"
    return [sys.executable, "-c", f"from __future__ import annotations\n{source}\n{call}"]


def run(function: Callable[..., Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs it to its end. Standard output and error are pipes: whoever keeps one open is waited for."""
    return subprocess.run(
        [*command(function), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        cwd=os.getcwd(),
    )
