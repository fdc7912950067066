"""A hostile driver in a guest, with its hands on the registers of every registered device."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_procs.device_registry import KINDS, module_of
from tests.device.hostile_driver.declaration import FILL, declared
from tests.guest.conftest import StartBareMetal
from tests.guest.guest_report import GuestReport

pytestmark = pytest.mark.timeout(300)

_LIVE, _NEEDS_RESET = 0xF, 0x4F
# As programs/hostile.c has them.
_WORDS_MAX, _SERVED, _QUEUES, _SPOILT = 10, 4, 12, 12


def _answers(report: GuestReport, room: int) -> list[bytes]:
    """What each of its requests was answered with."""
    each = (room + 7) // 8
    words = report.numbers("answer")
    assert len(words) == _SERVED * each
    content = [word.to_bytes(8, "little") for word in words]
    return [b"".join(content[at : at + each]) for at in range(0, len(content), each)]


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_it_does_it_is_served_after_a_reset(
    start: StartBareMetal, tmp_path: Path, kind: str
) -> None:
    device = declared(kind)
    shape = device.shape_of(0)
    asked, room = b"".join(shape.readable), sum(shape.writable)
    assert len(asked) <= 8 * _WORDS_MAX
    words = [int.from_bytes(asked[at : at + 8], "little") for at in range(0, len(asked), 8)]
    options = [f"bytes={len(asked)}", f"room={room}", *(f"w{i}={word:#x}" for i, word in enumerate(words))]
    arguments = device.arguments(tmp_path)
    outside = device.untouched(tmp_path)
    vm = start("hostile", *arguments, append=" ".join(options))
    report = vm.report.wait_for_seal()
    assert vm.serial.read_to_end() == b""
    vm.expect_end()
    assert report.number("device-id") == module_of(kind).virtio_id
    written = report.numbers("written")
    for length, answer in zip(written, _answers(report, room), strict=True):
        assert shape.is_answered(length, answer[:room])
        assert answer[room:] == bytes([FILL]) * (len(answer) - room)
    assert len(written) == _SERVED
    assert report.number("changed-by-sweep") == report.number("changed-while-live") == 0
    assert report.number("ready") == 1
    assert report.number("queues-refused") == _QUEUES
    assert report.numbers("needs-reset") == [_NEEDS_RESET] * _SPOILT
    assert report.numbers("used") == report.numbers("reset") == [0] * _SPOILT
    assert report.number("status") == _LIVE
    assert device.untouched(tmp_path) == outside
    # Its mistakes are told, up to a limit; nothing else is wrong.
    told = [
        line.partition(" WARNING supervisor: device attacked needs a reset: ")[2]
        for line in vm.errors().splitlines()
    ]
    assert told
    assert all(told)
