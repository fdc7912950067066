"""The version of Bulkhead, and the git commit it was made of."""

from __future__ import annotations

VERSION = "0.1.0"


def git_commit() -> str:
    """Returns the commit this program was built from, or "unknown".

    A wheel carries the commit in a module written when it was built; a checkout is asked itself, since it
    moves on after the build.
    """
    import os  # noqa: PLC0415  (off the start-up path: only --version and QMP's query-version come here)
    import subprocess  # noqa: PLC0415

    checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.exists(os.path.join(checkout, ".git")):
        asked = subprocess.run(
            ["git", "-c", f"safe.directory={checkout}", "-C", checkout, "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0:
            return asked.stdout.strip()
    try:
        from vmm_main import _build_info  # noqa: PLC0415
    except ImportError:
        return "unknown"
    return str(_build_info.GIT_COMMIT)
