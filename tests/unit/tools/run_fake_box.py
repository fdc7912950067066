"""Runs a command in the fake box with this process's streams, as tools/kvm_lab/run does in the real one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tools.kvm_lab.box_run import (
    STATUS_BOX_FAILED,
    BoxError,
    BoxProgram,
    NotBroughtBackError,
    run_in_box,
)
from tools.kvm_lab.request import BoxRequest

program = BoxProgram(
    kernel=Path("kernel"),
    initramfs=Path("initramfs"),
    qemu=str(Path(__file__).with_name("fake_qemu")),
    # The fake box has said its first word after a few milliseconds.
    boot_silence_s=0.5 if "hang" in os.environ["BOX_FAKE"] else 60,
    terminate_grace_s=0 if "deaf" in os.environ["BOX_FAKE"] else 60,
    ending_limit_s=0.5,
    scratch_bytes=4 * 1024**2,
)
request = BoxRequest(
    command=sys.argv[1:],
    directory=Path.cwd(),
    environment=dict(os.environ),
    timeout_s=float(os.environ.get("BOX_TIMEOUT", "60")),
    bring_back=[Path(path) for path in os.environ.get("BOX_BRING_BACK", "").split()],
)
try:
    sys.exit(run_in_box(program, request, lambda message: print(f"lab: {message}", file=sys.stderr)))
except NotBroughtBackError as error:
    print(f"lab: {error}", file=sys.stderr)
    sys.exit(error.status)
except BoxError as error:
    print(f"lab: {error}", file=sys.stderr)
    sys.exit(STATUS_BOX_FAILED)
