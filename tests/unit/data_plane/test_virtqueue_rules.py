"""Each rule of a split virtqueue by itself: what keeps it, and what breaks it, with the words for the log."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.data_plane.ring_case import (
    BUFFERS,
    DESC,
    HIGH_BYTES,
    HIGH_GPA,
    INDIRECT_DESC,
    LOW_BYTES,
    LOW_GPA,
    READ_ONLY_GPA,
    TOP_GPA,
    USED,
    RingCase,
    RingProgram,
    judge_by_model,
)
from tests.unit.data_plane.ring_model import INDIRECT, NEXT, WRITE, Region


def check(program: RingProgram, case: RingCase) -> str | None:
    """What is wrong with the ring by the C, after the model has said the same of it."""
    mine, model = program.judge(case), judge_by_model(case)
    assert mine.chains == model.chains
    assert (mine.error is None) == (model.error is None), (mine.error, model.error)
    assert mine.memory == model.memory
    return mine.error


def test_a_chain_of_readable_then_writable_descriptors(ring_program: RingProgram) -> None:
    case = RingCase()
    case.descriptor(3, BUFFERS, 10, NEXT, 1)
    case.descriptor(1, HIGH_GPA, 20, NEXT | WRITE, 0)
    case.descriptor(0, BUFFERS + 100, 30, WRITE)
    case.offer(3)
    assert check(ring_program, case) is None
    (chain,) = ring_program.judge(case).chains
    assert chain.head == 3
    assert chain.segments == [("r", BUFFERS, 10), ("w", HIGH_GPA, 20), ("w", BUFFERS + 100, 30)]


def test_completions_go_to_the_used_ring(ring_program: RingProgram) -> None:
    case = RingCase()
    for index in range(8):
        case.descriptor(index, BUFFERS + 16 * index, index + 1, WRITE)
    case.set_used_idx(65533)
    case.offer(5, 2, 7, 0, first=65533)
    assert check(ring_program, case) is None
    low = ring_program.judge(case).memory[0]
    used = low[case.used - LOW_GPA :]
    assert used[2:4] == (1).to_bytes(2, "little")
    entries = [used[4 + 8 * (place % 8) :][:8] for place in (65533, 65534, 65535, 0)]
    assert entries == [bytes([head, 0, 0, 0, head + 1, 0, 0, 0]) for head in (5, 2, 7, 0)]


def test_an_empty_ring_has_nothing(ring_program: RingProgram) -> None:
    assert check(ring_program, RingCase()) is None


def test_a_full_ring_in_flight(ring_program: RingProgram) -> None:
    case = RingCase(completes=False)
    for index in range(8):
        case.descriptor(index, BUFFERS, 16)
    case.offer(*range(8))
    assert check(ring_program, case) is None
    assert len(ring_program.judge(case).chains) == 8


@pytest.mark.parametrize("indirect_flags", [INDIRECT, INDIRECT | WRITE], ids=["plain", "WRITE is ignored"])
def test_an_indirect_table_after_direct_descriptors(ring_program: RingProgram, indirect_flags: int) -> None:
    case = RingCase()
    table = BUFFERS + 0x404  # no alignment is asked for
    case.descriptor(0, BUFFERS, 8, NEXT, 2)
    case.descriptor(2, table, 48, indirect_flags)
    case.entry(table, 0, (BUFFERS + 8, 4, NEXT, 2))
    case.entry(table, 2, (BUFFERS + 16, 4, WRITE, 0))
    case.offer(0)
    assert check(ring_program, case) is None
    (chain,) = ring_program.judge(case).chains
    assert chain.segments == [("r", BUFFERS, 8), ("r", BUFFERS + 8, 4), ("w", BUFFERS + 16, 4)]


def test_an_indirect_table_may_be_longer_than_the_queue(ring_program: RingProgram) -> None:
    # Linux makes such chains (virtqueue_add_split() warns only without indirect descriptors).
    case = RingCase(num=2)
    case.descriptor(1, HIGH_GPA, 16 * 100, INDIRECT)
    for index in range(100):
        case.entry(HIGH_GPA, index, (BUFFERS, 1, NEXT if index < 99 else 0, index + 1))
    case.offer(1)
    assert check(ring_program, case) is None
    assert len(ring_program.judge(case).chains[0].segments) == 100


def test_buffers_up_to_the_edges_of_ram(ring_program: RingProgram) -> None:
    case = RingCase()
    case.descriptor(0, LOW_GPA + LOW_BYTES - 16, 16, NEXT, 1)
    case.descriptor(1, HIGH_GPA, HIGH_BYTES, NEXT, 2)
    case.descriptor(2, READ_ONLY_GPA, 0x1000, NEXT, 3)
    case.descriptor(3, TOP_GPA, 0x1000)
    case.offer(0)
    assert check(ring_program, case) is None
    assert len(ring_program.judge(case).chains) == 1


def one(gpa: int, length: int, flags: int = 0, following: int = 0) -> Callable[[RingCase], None]:
    """A ring with one chain of one descriptor."""

    def make(case: RingCase) -> None:
        case.descriptor(0, gpa, length, flags, following)
        case.offer(0)

    return make


def loop(case: RingCase) -> None:
    case.descriptor(0, BUFFERS, 1, NEXT, 1)
    case.descriptor(1, BUFFERS, 1, NEXT, 0)
    case.offer(0)


def readable_after_writable(case: RingCase) -> None:
    case.descriptor(0, BUFFERS, 1, NEXT | WRITE, 1)
    case.descriptor(1, BUFFERS, 1)
    case.offer(0)


def nested(case: RingCase) -> None:
    case.descriptor(0, BUFFERS, 16, INDIRECT)
    case.entry(BUFFERS, 0, (BUFFERS, 16, INDIRECT, 0))
    case.offer(0)


def indirect_loop(case: RingCase) -> None:
    case.descriptor(0, BUFFERS, 32, INDIRECT)
    case.entry(BUFFERS, 0, (BUFFERS, 1, NEXT, 1))
    case.entry(BUFFERS, 1, (BUFFERS, 1, NEXT, 0))
    case.offer(0)


def indirect_next_beyond(case: RingCase) -> None:
    case.descriptor(0, BUFFERS, 32, INDIRECT)
    case.entry(BUFFERS, 0, (BUFFERS, 1, NEXT, 2))
    case.offer(0)


def same_head_twice(case: RingCase) -> None:
    case.completes = False
    case.descriptor(0, BUFFERS, 1)
    case.offer(0, 0)


def jumped(case: RingCase) -> None:
    case.set_avail_idx(9)


def jumped_back(case: RingCase) -> None:
    case.set_used_idx(5)
    case.set_avail_idx(4)


def high_head(case: RingCase) -> None:
    case.offer(8)


def indirect_not_negotiated(case: RingCase) -> None:
    case.features &= ~INDIRECT_DESC
    one(BUFFERS, 16, INDIRECT)(case)


NOT_IN_RAM = "a descriptor's buffer isn't in RAM"
MISTAKES = {
    "a buffer in the hole": (one(0x8000, 1), NOT_IN_RAM),
    "a buffer over a region's end": (one(LOW_GPA + LOW_BYTES - 1, 2), NOT_IN_RAM),
    "a buffer before the first region": (one(0, 8), NOT_IN_RAM),
    "a buffer that wraps": (one((1 << 64) - 1, 2), NOT_IN_RAM),
    "a buffer of 4 GiB less one": (one(HIGH_GPA, (1 << 32) - 1), NOT_IN_RAM),
    "writing to read-only memory": (one(READ_ONLY_GPA, 1, WRITE), NOT_IN_RAM),
    "next beyond the table": (one(BUFFERS, 1, NEXT, 8), "a descriptor's next is beyond the table"),
    "a loop": (loop, "a descriptor chain loops or is too long"),
    "readable after writable": (
        readable_after_writable,
        "a device-readable descriptor follows a device-writable one",
    ),
    "a head beyond the table": (high_head, "the available ring names a descriptor beyond the table"),
    "a head that is in flight": (
        same_head_twice,
        "the available ring names a descriptor chain that isn't completed yet",
    ),
    "avail.idx far ahead": (jumped, "the available ring's index has moved by more than the queue size"),
    "avail.idx gone back": (jumped_back, "the available ring's index has moved by more than the queue size"),
    "indirect without the feature": (
        indirect_not_negotiated,
        "an indirect descriptor, which wasn't negotiated",
    ),
    "indirect with next": (one(BUFFERS, 16, INDIRECT | NEXT, 1), "an indirect descriptor has a next"),
    "indirect of no length": (one(BUFFERS, 0, INDIRECT), "an indirect table's length isn't a multiple of 16"),
    "indirect of odd length": (
        one(BUFFERS, 17, INDIRECT),
        "an indirect table's length isn't a multiple of 16",
    ),
    "indirect not in RAM": (one(0x8000, 16, INDIRECT), "an indirect table isn't in RAM"),
    "nested indirect": (nested, "an indirect descriptor in an indirect table"),
    "a loop in an indirect table": (indirect_loop, "a descriptor chain loops or is too long"),
    "next beyond an indirect table": (indirect_next_beyond, "a descriptor's next is beyond the table"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_drivers_mistake_has_its_words(ring_program: RingProgram, name: str) -> None:
    make, words = MISTAKES[name]
    case = RingCase()
    make(case)
    assert check(ring_program, case) == words


def test_chains_before_the_mistake_are_the_devices(ring_program: RingProgram) -> None:
    case = RingCase()
    case.descriptor(0, BUFFERS, 1, WRITE)
    case.offer(0, 0, 8)
    assert check(ring_program, case) == "the available ring names a descriptor beyond the table"
    assert [chain.head for chain in ring_program.judge(case).chains] == [0, 0]


def long_chain(segments: int, length: int) -> RingCase:
    """A chain of one indirect table, each of whose buffers is the same memory."""
    case = RingCase()
    table, buffer = 1 << 33, 1 << 34
    case.memory.regions += [Region(table, bytearray(0x8000)), Region(buffer, bytearray(length))]
    case.descriptor(0, table, 16 * segments, INDIRECT)
    for index in range(segments):
        case.entry(table, index, (buffer, length, NEXT if index < segments - 1 else 0, index + 1))
    case.offer(0)
    return case


def test_a_chain_has_no_more_segments_than_readv_takes(ring_program: RingProgram) -> None:
    assert check(ring_program, long_chain(1024, 16)) is None
    assert check(ring_program, long_chain(1025, 16)) == "a descriptor chain loops or is too long"


def test_a_chain_has_less_than_4_gib(ring_program: RingProgram) -> None:
    assert check(ring_program, long_chain(1023, 4 << 20)) is None
    assert check(ring_program, long_chain(1024, 4 << 20)) == "a descriptor chain has 4 GiB or more"


SIZE = "the queue size isn't a power of two that the device allows"
ALIGNMENT = "a ring isn't aligned"
RING = "a ring isn't in RAM"
OVERLAP = "the used ring lies over another ring"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num": 0}, SIZE),
        ({"num": 3}, SIZE),
        ({"num": 2048}, SIZE),
        ({"desc": DESC + 8}, ALIGNMENT),
        ({"avail": DESC + 0x1001}, ALIGNMENT),
        ({"used": DESC + 0x2002}, ALIGNMENT),
        ({"desc": LOW_GPA + LOW_BYTES - 112}, RING),
        ({"avail": LOW_GPA + LOW_BYTES - 20}, RING),
        ({"used": LOW_GPA + LOW_BYTES - 68}, RING),
        ({"used": READ_ONLY_GPA}, RING),
        ({"desc": (1 << 64) - 16}, RING),
        ({"used": DESC}, OVERLAP),
        ({"used": DESC + 124}, OVERLAP),
        ({"avail": USED - 20}, OVERLAP),
        ({"avail": USED + 2}, OVERLAP),  # the device's flags would be the driver's index
        ({"avail": USED + 68}, OVERLAP),
        ({"base": 1}, "the used ring's index isn't where the device left it"),
        ({"base": 65535}, "the used ring's index isn't where the device left it"),
    ],
)
def test_a_queue_that_cannot_be_started(
    ring_program: RingProgram, changes: dict[str, int], words: str
) -> None:
    case = RingCase()
    for name, value in changes.items():
        setattr(case, name, value)
    assert check(ring_program, case) == words


def test_rings_side_by_side(ring_program: RingProgram) -> None:
    assert check(ring_program, RingCase(desc=USED - 128)) is None
    assert check(ring_program, RingCase(avail=USED - 22)) is None
    assert check(ring_program, RingCase(avail=USED + 70)) is None


def test_rings_at_the_very_ends_of_ram(ring_program: RingProgram) -> None:
    case = RingCase(
        desc=LOW_GPA + LOW_BYTES - 128,
        avail=READ_ONLY_GPA + 0x1000 - 22,
        used=TOP_GPA + 0x1000 - 72,
    )
    assert check(ring_program, case) is None
