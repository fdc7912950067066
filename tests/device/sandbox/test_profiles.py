"""What each profile stops, shown from inside a live device's own threads, and that nothing else stops it."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from device_procs.data_plane._data_plane import lib
from ipc.schema import UINT64_MAX
from seccomp_profiles.compile_profiles import system_call_number
from tests.device.sandbox.forbidden_calls import (
    AT_FDCWD,
    FORBIDDEN_ALWAYS,
    FORBIDDEN_WHEN_READY,
    ForbiddenCall,
)
from tests.device.sandbox.told_kinds import FOLDERS, packed_call, scratch
from tests.device.sandbox.told_rig import CONTROL, WORKER, ZYGOTE, told_device
from tests.device.zygote.zygote_rig import ZygoteRig

AUDIT_ARCH_X86_64 = 0xC000003E
THREADS = {
    CONTROL: lib.BLACK_BOX_CONTROL_THREAD,
    WORKER: lib.BLACK_BOX_WORKER_THREAD,
    ZYGOTE: lib.BLACK_BOX_CONTROL_THREAD,
}
CASES = [
    *((thread, call) for thread in THREADS for call in FORBIDDEN_ALWAYS),
    *((thread, call) for thread in (CONTROL, WORKER) for call in FORBIDDEN_WHEN_READY),
]
parametrized = pytest.mark.parametrize(
    ("thread", "call"), CASES, ids=[f"{thread}-{call}" for thread, call in CASES]
)


@pytest.mark.parametrize("folder", FOLDERS)
@parametrized
def test_the_call_is_refused_and_reported(
    confined: ZygoteRig, folder: str, thread: str, call: ForbiddenCall
) -> None:
    number = system_call_number(call.name)
    first = packed_call(number, call.arguments) if thread == ZYGOTE else b""
    with told_device(confined, folder, first) as device:
        if thread != ZYGOTE:
            device.get_ready()
            device.tell(thread, number, call.arguments)
        assert device.wait_for_end() == 128 + signal.SIGSYS
        box = device.black_box.page
        assert (box.refused_syscall, box.refused_thread) == (number, THREADS[thread])
        assert box.refused_arch == AUDIT_ARCH_X86_64
        assert box.refused_rip != 0
        at_hand = [value for value in call.arguments if value < 1 << 62]
        told = [box.refused_args[i] for i, value in enumerate(call.arguments) if value < 1 << 62]
        assert told == [value & UINT64_MAX for value in at_hand]
        assert box.fault_signal == 0


@pytest.mark.parametrize("folder", FOLDERS)
@parametrized
def test_without_filters_the_same_call_is_made(
    unfiltered: ZygoteRig, folder: str, thread: str, call: ForbiddenCall
) -> None:
    number = system_call_number(call.name)
    first = packed_call(number, call.arguments) if thread == ZYGOTE else b""
    with told_device(unfiltered, folder, first) as device:
        device.get_ready()
        if thread != ZYGOTE:
            device.tell(thread, number, call.arguments)
        result = device.result(thread)
        assert result == -call.unfiltered if call.unfiltered else result >= 0
        assert device.black_box.page.refused_thread == lib.BLACK_BOX_NO_THREAD


@pytest.mark.parametrize("thread", [CONTROL, WORKER])
def test_landlock_forbids_what_filters_would_have(unfiltered: ZygoteRig, thread: str) -> None:
    """Without filters even the empty root can't be read, only named, where the kernel has Landlock."""
    number = system_call_number("openat")
    for flags, forbidden in ((os.O_RDONLY | os.O_DIRECTORY, lib.landlock_version() > 0), (os.O_PATH, False)):
        with told_device(unfiltered, "virtio_rng") as device:
            device.get_ready()
            device.tell(thread, number, (AT_FDCWD, scratch(0), flags, 0))
            result = device.result(thread)
            assert result == -errno.EACCES if forbidden else result >= 0
