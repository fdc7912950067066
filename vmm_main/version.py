"""The version of Bulkhead, and the git commit it was made of."""

from __future__ import annotations

VERSION = "0.1.0"


def git_commit() -> str:
    """Returns the commit this program was built from, or "unknown".

    A wheel carries the commit in a module written when it was built; a checkout is asked itself, since it
    moves on after the build.
    """
    import os  # off the start-up path: only --version and QMP's query-version come here
    import subprocess

    checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.exists(os.path.join(checkout, ".git")):
        try:
            asked = subprocess.run(
                [
                    "git",
                    "-c",
                    f"safe.directory={checkout}",
                    "-C",
                    checkout,
                    "rev-parse",
                    "--short=12",
                    "HEAD",
                ],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            return "unknown"
        return asked.stdout.strip() if asked.returncode == 0 else "unknown"
    try:
        from vmm_main import _build_info
    except ImportError:
        return "unknown"
    return str(_build_info.GIT_COMMIT)
