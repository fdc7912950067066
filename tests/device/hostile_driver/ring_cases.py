"""Rings as no driver should keep them (virtio 1.2 §2.7.6 to §2.7.13), and queues that can't be used."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from tests.device.hostile_driver.attack import NUM, Attack, linked
from tests.device.hostile_driver.attacked_memory import PART, TOP_GPA
from tests.device.hostile_driver.case import Answer, Case
from tools.fake_driver.driver_queue import DESC_F_WRITE

JUMPED = "the available ring's index has moved by more than the queue size"
HEAD = "the available ring names a descriptor beyond the table"
EVENT_IDX = 1 << 29

Act = Callable[[Attack], None]


def well_formed(attack: Attack) -> None:
    attack.offer_well_formed()


def nothing(_attack: Attack) -> None:
    """What is live is enough."""


def offered_then_index(idx: int) -> Act:
    """A request that would be served, and an index that can't be; every entry names that request."""

    def act(attack: Attack) -> None:
        chain = linked(attack.chain())
        attack.write_direct(chain)
        for place in range(NUM):
            attack.set_avail_entry(place, 0)
        attack.set_avail_idx(idx)

    return act


def head_is(head: int) -> Act:
    """Behind the table lies what would be a sound descriptor, were the table longer."""

    def act(attack: Attack) -> None:
        chain = linked(attack.chain())
        if head < 2 * NUM:
            attack.memory.write(attack.queue.desc_gpa + 16 * head, chain[-1].pack())
        attack.queue.put(head)

    return act


def same_head_in_every_entry(attack: Attack) -> None:
    """One chain, offered as often as the ring has entries: whoever is quick may take it each time."""
    attack.offer_well_formed()
    for place in range(NUM):
        attack.set_avail_entry(place, 0)
    attack.set_avail_idx(NUM)


def events_are(value: int) -> Act:
    """used_event, or the available ring's flags, of all kinds."""

    def act(attack: Attack) -> None:
        attack.offer_well_formed()
        attack.memory.write(attack.queue.avail_gpa, struct.pack("<H", value))
        attack.memory.write(attack.queue.avail_gpa + 4 + 2 * NUM, struct.pack("<H", value))

    return act


def over_the_rings(gpa: Callable[[Attack], int]) -> Act:
    """What the device writes goes over what it reads: all of that is the driver's own memory."""

    def act(attack: Attack) -> None:
        chain = linked(attack.chain())
        for descriptor in chain:
            if descriptor.flags & DESC_F_WRITE:
                descriptor.gpa = gpa(attack)
        attack.expect(0, chain)
        attack.allowed.append((attack.queue.desc_gpa, attack.tables_gpa - attack.queue.desc_gpa))
        attack.offer(chain)

    return act


def used_ring_spoiled(attack: Attack) -> None:
    """The driver writes what only the device may; the device goes by what it knows itself."""
    attack.memory.write(attack.queue.used_gpa + 4, b"\xff" * 8 * NUM)
    attack.offer_well_formed()


def always(value: int) -> Callable[[Attack], int]:
    return lambda _attack: value


def moved_by(part: str, off: int) -> Callable[[Attack], int]:
    """Where a part of the queue is, and so much further."""
    return lambda attack: int(getattr(attack.queue, part)) + off


def _indexes() -> Iterator[tuple[str, Case]]:
    for name, idx in {
        "one more than the queue": NUM + 1,
        "half of all numbers ahead": 1 << 15,
        "one back": 65535,
        "a queue back": 65536 - NUM,
    }.items():
        spoil = offered_then_index(idx)
        yield f"avail.idx {name}", Case("§2.7.6.1", Answer.NEEDS_RESET, spoil, JUMPED)
    yield (
        "avail.idx back by one, of a queue that runs",
        Case(
            "§2.7.13.3.1",
            Answer.NEEDS_RESET,
            well_formed,
            JUMPED,
            live=lambda attack: attack.set_avail_idx(0),
        ),
    )
    yield (
        "avail.idx ahead, of a queue that runs",
        Case(
            "§2.7.6.1",
            Answer.NEEDS_RESET,
            well_formed,
            JUMPED,
            live=lambda attack: attack.set_avail_idx(NUM + 2),
        ),
    )
    yield (
        "a kick without anything new",
        Case("§2.7.13.3", Answer.SERVED, well_formed, live=nothing),
    )
    for name, head in {"of the table's size": NUM, "beyond": NUM + 1, "of all ones": 65535}.items():
        yield f"a head {name}", Case("§2.7.6", Answer.NEEDS_RESET, head_is(head), HEAD)
    yield "one head in every entry", Case("§2.7.6", Answer.EITHER, same_head_in_every_entry)


def _notifications() -> Iterator[tuple[str, Case]]:
    for value in (1, 0x7FFF, 0x8000, 0xFFFF):
        yield f"flags and used_event {value:#x}", Case("§2.7.7", Answer.SERVED, events_are(value))
        yield (
            f"flags {value:#x} without EVENT_IDX",
            Case("§2.7.7", Answer.SERVED, events_are(value), lacks=EVENT_IDX),
        )


def _rings_written() -> Iterator[tuple[str, Case]]:
    """Buffers that lie over the queue's own parts: memory of the driver's, so nothing else may be harmed."""
    places: dict[str, Callable[[Attack], int]] = {
        "the descriptor table": lambda attack: attack.queue.desc_gpa,
        "the available ring": lambda attack: attack.queue.avail_gpa,
        "the used ring": lambda attack: attack.queue.used_gpa,
    }
    yield "used entries written by the driver", Case("§2.7.8.1", Answer.SERVED, used_ring_spoiled)
    for name, gpa in places.items():
        yield f"a buffer over {name}", Case("§2.7", Answer.EITHER, over_the_rings(gpa))


def _queues() -> Iterator[tuple[str, Case]]:
    """The transport refuses these before the device hears of them; the device doesn't rely on that."""

    def bad(says: str, section: str, **rings: Callable[[Attack], int]) -> Case:
        def changes(attack: Attack) -> dict[str, int]:
            return {name: value(attack) for name, value in rings.items()}

        return Case(section, Answer.NEEDS_RESET, well_formed, says, rings=changes)

    for size in (3, NUM + 1, 2048, 32768):
        yield (
            f"a queue of {size}",
            bad("the queue size isn't a power of two", "§2.7", num=always(size)),
        )
    unaligned = "a ring isn't aligned"
    for part, off in (("desc_gpa", 8), ("avail_gpa", 1), ("used_gpa", 2)):
        yield (
            f"{part} not aligned",
            bad(unaligned, "§2.7", **{part: moved_by(part, off)}),
        )
    places: dict[str, Callable[[Attack], int]] = {
        "in the hole": lambda attack: attack.memory.hole_gpa,
        "over the end of RAM": lambda attack: attack.memory.ram_bytes - 16,
        "over the end of all regions": lambda _attack: TOP_GPA + PART - 16,
        "where it wraps": lambda _attack: (1 << 64) - 16,
    }
    for part in ("desc_gpa", "avail_gpa", "used_gpa"):
        for name, gpa in places.items():
            yield f"{part} {name}", bad("a ring isn't in RAM", "§2.7.5.2", **{part: gpa})
    overlaps = "the used ring lies over another ring"
    for name, over in {
        "the descriptor table": moved_by("desc_gpa", 4),
        "the available ring": moved_by("avail_gpa", 4),
        "the available ring, from before it": moved_by("avail_gpa", -4),
    }.items():
        yield f"a used ring over {name}", bad(overlaps, "§2.7", used_gpa=over)
    yield (
        "a used ring that can't be written",
        bad("a ring isn't in RAM", "§2.7", used_gpa=lambda attack: attack.memory.read_only_gpa),
    )


RING_CASES = dict([*_indexes(), *_notifications(), *_rings_written(), *_queues()])
