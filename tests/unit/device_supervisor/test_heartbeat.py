"""What a heartbeat takes for a hang: by beats, from a black box that a test writes into."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from ipc.messages import Message
from vmm_main.device_supervisor.black_box import BlackBox
from vmm_main.device_supervisor.deadlines import Deadlines
from vmm_main.device_supervisor.device_process import DeviceProcess
from vmm_main.device_supervisor.heartbeat import Pulse
from vmm_main.device_supervisor.told_deadlines import told_deadlines
from vmm_main.errors import ConfigurationError
from vmm_main.kvm._kvm import ffi, lib

PATIENCE = 5
QUEUES = 4
CONTROL_HANGS = "its control thread has answered nothing"


class FakeProcess:
    """A process with four queues: worker 0 serves the first two, worker 1 the others."""

    def __init__(self) -> None:
        self.black_box = BlackBox()
        self._theirs = ffi.from_buffer(mmap.mmap(self.black_box.fd, lib.BLACK_BOX_BYTES))
        self.queues: Any = ffi.cast("struct black_box *", self._theirs).queues
        for index in range(QUEUES):
            self.queues[index].worker = index // 2
        self.answers = True
        self.owes_answer = False
        self.asked = 0

    def request(
        self, name: str, deadline_s: float | None, on_answer: Callable[[Message], None], answer: str
    ) -> None:
        assert (name, deadline_s, answer) == ("PING", None, "PONG")
        self.asked += 1
        if self.answers:
            on_answer(Message("PONG"))


@pytest.fixture
def process() -> Iterator[FakeProcess]:
    fake = FakeProcess()
    yield fake
    fake.black_box.close()


@pytest.fixture
def pulse(process: FakeProcess) -> Pulse:
    return Pulse(cast("DeviceProcess", process), QUEUES)


def feel(pulse: Pulse, beats: int) -> list[str | None]:
    return [pulse.feel(PATIENCE) for _ in range(beats)]


def test_who_answers_and_waits_lives_for_ever(process: FakeProcess, pulse: Pulse) -> None:
    assert feel(pulse, 10 * PATIENCE) == [None] * 10 * PATIENCE
    assert process.asked == 10 * PATIENCE


def test_who_doesnt_answer_hangs_after_so_many_beats(process: FakeProcess, pulse: Pulse) -> None:
    process.answers = False
    assert feel(pulse, PATIENCE + 1) == [None] * PATIENCE + [CONTROL_HANGS]
    assert process.asked == 1, "once, and that is waited for"


def test_who_owes_another_answer_isnt_asked(process: FakeProcess, pulse: Pulse) -> None:
    """That has a deadline of its own; afterwards it has all its time."""
    process.owes_answer = True
    process.answers = False
    assert feel(pulse, 3 * PATIENCE) == [None] * 3 * PATIENCE
    assert process.asked == 0
    process.owes_answer = False
    assert feel(pulse, PATIENCE + 1) == [None] * PATIENCE + [CONTROL_HANGS]


@pytest.mark.parametrize("worker", [0, 1])
def test_a_worker_at_work_that_gets_nowhere_hangs(process: FakeProcess, pulse: Pulse, worker: int) -> None:
    """Whatever the other one does."""
    process.queues[2 * worker].turns = 7
    said = []
    for _ in range(PATIENCE + 1):
        process.queues[2 - 2 * worker].turns += 1
        process.queues[2 - 2 * worker].popped += 1
        said.append(pulse.feel(PATIENCE))
    assert said == [None] * PATIENCE + [f"worker thread {worker} has got nowhere"]


@pytest.mark.parametrize("queue", [0, 1])
@pytest.mark.parametrize("counter", ["popped", "completed", "host_calls", "turns"])
def test_a_worker_that_gets_on_lives(process: FakeProcess, pulse: Pulse, counter: str, queue: int) -> None:
    """In one of its queues; seldom enough."""
    process.queues[0].turns = 1
    for _ in range(5):
        assert feel(pulse, PATIENCE) == [None] * PATIENCE
        setattr(process.queues[queue], counter, getattr(process.queues[queue], counter) + 2)
    assert pulse.slow_workers == []


def test_a_slow_host_is_told_once_for_each_wait(process: FakeProcess, pulse: Pulse) -> None:
    queue = process.queues[2]
    queue.turns = 1
    for _ in range(2):
        queue.host_calls += 1
        told = []
        for _ in range(4 * PATIENCE):
            assert pulse.feel(PATIENCE) is None
            told += pulse.slow_workers
        assert told == [1]
        queue.host_calls += 1
        assert feel(pulse, 1) == [None]


def test_a_wait_in_between_is_a_sign_of_life(process: FakeProcess, pulse: Pulse) -> None:
    for _ in range(5):
        process.queues[0].turns += 1
        assert feel(pulse, PATIENCE) == [None] * PATIENCE
        process.queues[0].turns += 1
        assert feel(pulse, 2 * PATIENCE) == [None] * 2 * PATIENCE


@pytest.mark.parametrize(
    ("beat_s", "hang_s", "beats"), [(2.0, 10.0, 5), (2.0, 9.0, 5), (2.0, 0.1, 1), (3600.0, 10.0, 1)]
)
def test_a_deadline_in_beats(beat_s: float, hang_s: float, beats: int) -> None:
    deadlines = Deadlines()
    deadlines.beat_s, deadlines.hang_s = beat_s, hang_s
    assert deadlines.hang_beats == beats


def test_deadlines_that_are_told() -> None:
    told, usual = told_deadlines(b"hang_s=0.5,beat_s=60"), Deadlines()
    assert (told.hang_s, told.beat_s) == (0.5, 60.0)
    others = set(Deadlines.__slots__) - {"hang_s", "beat_s"}
    assert {name: getattr(told, name) for name in others} == {name: getattr(usual, name) for name in others}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "'' isn't a deadline; there are beat_s, "),
        (b"hang_s=1,", "'' isn't a deadline"),
        (b"hang=1", "'hang' isn't a deadline"),
        (b"hang_beats=1", "'hang_beats' isn't a deadline"),
        (b"hang_s", "hang_s=: allowed are 0.001 to 86400 seconds"),
        (b"hang_s=0", "hang_s=0: allowed are"),
        (b"hang_s=-1", "hang_s=-1: allowed are"),
        (b"hang_s=inf", "hang_s=inf: allowed are"),
        (b"hang_s=nan", "hang_s=nan: allowed are"),
        (b"hang_s=\xff", "hang_s=\\ufffd: allowed are"),
    ],
)
def test_a_deadline_that_is_none(text: bytes, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        told_deadlines(text)
    assert str(raised.value).startswith(f"BULKHEAD_DEADLINES: {said}")
