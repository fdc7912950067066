"""Before the first client comes, QMP costs no import that a start can't afford."""

from __future__ import annotations

import subprocess
import sys

# os brings some others along; it is allowed anywhere.
_ALLOWED = {"_socket", "_thread", "errno", "select", "time"}


def test_the_listener_imports_no_module_that_costs_time() -> None:
    script = (
        "import __future__, os, sys; before = set(sys.modules); import vmm_main.qmp.listener; "
        "print(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-E", "-c", f"import sys; sys.path.insert(0, '.'); {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(ran.stdout.split())
    assert "vmm_main.qmp.listener" in loaded
    assert "vmm_main.qmp.server" not in loaded
    foreign = {name for name in loaded if not name.startswith("vmm_main")}
    assert foreign <= _ALLOWED, foreign - _ALLOWED
