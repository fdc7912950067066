"""A real device of every registered kind, at work, has what it is entitled to and no more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from device_procs.device_registry import KINDS
from tests.device.audit.stand_in_rig import Entitled, opened
from tests.device.supervisor.kinds_at_work import KINDS_AT_WORK, DeclaredAtWork, KindAtWork
from tools.bulkhead_audit.aspects import findings_of
from tools.bulkhead_audit.finding import DIFFERENCE, UNREAD, Finding


def findings_at_work(work: KindAtWork) -> list[Finding]:
    """What is found of the device, after requests and with others under way."""
    work.begin()
    work.finish()
    work.begin()
    entitled = Entitled(work.vm)
    with opened(entitled.records()) as vm:
        device = next(process for process in vm.processes if process.role == "device")
        device.certificate = entitled.certificate(device.name)
        found = findings_of(device, vm)
    work.finish()
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_declared", [True, False], ids=["declared requests", "its own driver"])
def test_it_has_what_it_is_entitled_to(tmp_path: Path, kind: str, is_declared: bool) -> None:
    work = DeclaredAtWork(kind, tmp_path) if is_declared else KINDS_AT_WORK[kind](tmp_path)
    try:
        found = findings_at_work(work)
    finally:
        work.vm.close()
    assert [finding for finding in found if finding.verdict == DIFFERENCE] == []
    if os.geteuid() == 0:
        assert [finding for finding in found if finding.verdict == UNREAD] == []
