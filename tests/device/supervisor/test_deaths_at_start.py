"""The death of a device's process at each stage of its start, in every way, under load: nobody notices."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.device.supervisor.conftest import StartVm, short_deadlines
from tests.device.supervisor.driver_load import DriverLoad
from tests.device.supervisor.kinds_in_turn import KINDS_OPTION, KindsInTurn
from tests.device.supervisor.staged_kinds import STAGES, staged_kind

START_S = 1.0
QUIESCE_S = 0.2

# How a process ends at a stage, and what its cause of death begins with.
WAYS = {
    "SIGKILL": "killed by SIGKILL",
    "exit": "ended by itself",
    "abort": "died of SIGABRT in the control thread at 0x",
    "segv": "died of SIGSEGV in the control thread at 0x",
    "refused": "refused system call kill (62) by the control thread at 0x",
    "SIGSTOP": f"not ready within {START_S:g} s",
}
# Its handlers aren't there yet, and the zygote's filter allows no abort() either.
BORN_WAYS = {**WAYS, "abort": "died of SIGSYS", "segv": "died of SIGSEGV", "refused": "died of SIGSYS"}
# Main has heard READY; at "filtered" the process hasn't written that down yet.
STAGES_SINCE_READY = ("filtered", "ready")
READY_WAYS = {**WAYS, "SIGSTOP": f"QUIESCE not answered within {QUIESCE_S:g} s"}
STAGE_WORDS = {
    "born": "when it was just cloned",
    "cloned": "on its way into the jail",
    "jailed": "over its birth certificate",
    "certified": "before it was configured",
    "configured": "when it made the device",
    "workers started": "when it put on its filter",
    "filtered": "",
    "ready": "",
}
# It may be gone before the zygote has mapped its uid: then main hears no pid.
UNMAPPED = "was never made: uid and gid maps: "
_SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGSTOP": signal.SIGSTOP}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", STAGES)
def test_the_driver_is_served_all_the_same(
    start_vm: StartVm, repetitions: Callable[[int], int], stage: str, way: str
) -> None:
    deadlines = short_deadlines(start_s=START_S, quiesce_s=QUIESCE_S) if way == "SIGSTOP" else None
    vm = start_vm(zygote_options=KINDS_OPTION, deadlines=deadlines)
    kinds = KindsInTurn(vm)
    expected = {"born": BORN_WAYS, **dict.fromkeys(STAGES_SINCE_READY, READY_WAYS)}.get(stage, WAYS)[way]
    with DriverLoad(vm) as load:
        for _ in range(repetitions(10 if way == "SIGSTOP" else 50)):
            vm.events.clear()
            old_pid = vm.pid()
            inflicted_from_outside = way in _SIGNALS
            kinds.restart_as(staged_kind(stage, "wait" if inflicted_from_outside else way))
            if inflicted_from_outside:
                process = kinds.wait_at(STAGES[stage], old_pid)
                assert process.pid is not None
                os.kill(process.pid, _SIGNALS[way])
                if way == "SIGSTOP" and stage in STAGES_SINCE_READY:
                    vm.wait_for_state("running")
                    vm.call(vm.supervisor.quiesce)
                    vm.call(vm.supervisor.resume)
            vm.wait_for(lambda: [name for name, _ in vm.events].count("DEVICE_PROCESS_DIED") == 2)
            deaths = [data for name, data in vm.events if name == "DEVICE_PROCESS_DIED"]
            assert deaths[0]["pid"] == old_pid
            cause = deaths[1]["cause"]
            if stage == "born" and cause.startswith(UNMAPPED):
                assert deaths[1]["pid"] == 0
            else:
                assert cause.startswith(expected)
                assert cause.endswith(STAGE_WORDS[stage])
            vm.wait_for(lambda: vm.events[-1][0] == "DEVICE_PROCESS_RESTARTED")
            load.wait_for_progress()
