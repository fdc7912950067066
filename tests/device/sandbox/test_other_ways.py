"""Another C library's calls, by a live device's own threads: each gets the right answer, or it traps."""

from __future__ import annotations

import errno
import signal
from dataclasses import replace

import pytest

from ipc.channel import PeerGoneError
from seccomp_profiles.compile_profiles import system_call_number
from tests.device.sandbox.other_ways import ANSWERED, MADE, OTHER_WAYS, PROFILES, REFUSED, OtherWay
from tests.device.sandbox.told_kinds import FOLDERS, packed_call
from tests.device.sandbox.told_rig import CONTROL, WORKER, ZYGOTE, told_device
from tests.device.zygote.zygote_rig import ZygoteRig

THREADS = (ZYGOTE, CONTROL, WORKER)
of_each_thread = pytest.mark.parametrize("thread", THREADS)
of_each_kind = pytest.mark.parametrize("folder", FOLDERS)


def is_right(result: int, way: OtherWay, verdict: str) -> bool:
    expected = errno.ENOSYS if verdict == ANSWERED else way.error
    return result == -expected if expected else result >= 0


def refused_or_result(zygote: ZygoteRig, folder: str, thread: str, way: OtherWay) -> int | None:
    """What a thread of a fresh device gets from a call; None if it traps, as the black box says too."""
    number = system_call_number(way.name)
    first = packed_call(number, way.arguments) if thread == ZYGOTE else b""
    with told_device(zygote, folder, first) as device:
        try:
            device.get_ready()
            if thread != ZYGOTE:
                device.tell(thread, number, way.arguments)
            return device.result(thread)
        except (PeerGoneError, BrokenPipeError):
            assert device.wait_for_end() == 128 + signal.SIGSYS
            assert device.black_box.page.refused_syscall == number
            return None


def wrong_results(zygote: ZygoteRig, folder: str, thread: str, ways: list[OtherWay]) -> list[str]:
    """What isn't as it should be."""
    wrong = []
    for way in ways:
        verdict = way.verdict(thread, folder)
        result = refused_or_result(zygote, folder, thread, way)
        if (result is None) != (verdict == REFUSED) or (
            result is not None and not is_right(result, way, verdict)
        ):
            wrong.append(f"{way}: {verdict}, and {result}")
    return wrong


@of_each_kind
@of_each_thread
def test_what_only_another_library_calls(confined: ZygoteRig, folder: str, thread: str) -> None:
    """Traced too: these are what makes their rules needed (test_unused_rules.py)."""
    ways = [way for way in OTHER_WAYS if way.instead and way.verdict(thread, folder) != REFUSED]
    assert bool(ways) == (thread != CONTROL)  # no library makes a control thread call what ours doesn't
    assert wrong_results(confined, folder, thread, ways) == []


@pytest.mark.untraced
@of_each_kind
@of_each_thread
def test_each_call_is_made_answered_or_refused(confined: ZygoteRig, folder: str, thread: str) -> None:
    assert wrong_results(confined, folder, thread, OTHER_WAYS) == []


@pytest.mark.untraced
def test_a_wrong_verdict_is_noticed(confined: ZygoteRig) -> None:
    for name, verdict in (("getpid", REFUSED), ("getppid", MADE), ("fstat", ANSWERED)):
        way = next(way for way in OTHER_WAYS if way.name == name)
        wrong = replace(way, verdicts=verdict * len(PROFILES))
        assert len(wrong_results(confined, FOLDERS[0], ZYGOTE, [wrong])) == 1
