"""Fields that a second thread of the driver's changes while the device reads them, and how that is played.

Whatever the device has seen: the chain is served, or refused with the device's own error, or the device needs
a reset; and nothing but the chain's own buffers is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.device.hostile_driver.attack import NUM, Attack, Descriptor, linked
from tests.device.hostile_driver.case import begin, serve_every_request
from tests.device.hostile_driver.declaration import FILL, Request
from tests.device.hostile_driver.victim import EVENT_IDX, LOOKS_AGAIN_S, Deadline, Victim
from tools.fake_driver.driver_queue import DESC_F_INDIRECT, DESC_F_NEXT, DESC_F_WRITE
from tools.fake_driver.racing_writer import RacingWriter

_GPA_AT, _LENGTH_AT, _FLAGS_AT, _NEXT_AT = 0, 8, 12, 14
UINT64_MAX = (1 << 64) - 1
TURNS_MAX = 20


@dataclass(frozen=True)
class RacedField:
    """Where it is, how wide, and what it holds in turn."""

    gpa: int
    width: int
    values: tuple[int, ...]


@dataclass
class Tally:
    """What came of the rounds."""

    served: int = 0
    mistakes: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.served + other.served, self.mistakes + other.mistakes)


# Lays the shape's chain out again, after its descriptors were made; returns the field.
LayOut = Callable[[Attack, list[Descriptor]], RacedField]


def of_descriptor(
    place: int, field: Callable[[Attack, Descriptor, int], RacedField], *, by_table: bool
) -> LayOut:
    """A field of one descriptor, in the queue's own table or in an indirect one."""

    def lay_out(attack: Attack, chain: list[Descriptor]) -> RacedField:
        if by_table:
            attack.offer_by_table(chain)
            table = attack.tables_gpa
        else:
            attack.offer(chain)
            table = attack.queue.desc_gpa
        index = place % len(chain)
        return field(attack, chain[index], table + 16 * index)

    return lay_out


def gpa_field(attack: Attack, descriptor: Descriptor, at: int) -> RacedField:
    return RacedField(at + _GPA_AT, 8, (descriptor.gpa, attack.memory.hole_gpa, UINT64_MAX - 7))


def length_field(attack: Attack, descriptor: Descriptor, at: int) -> RacedField:
    # As long as RAM: from where the buffer is, that ends behind it.
    return RacedField(at + _LENGTH_AT, 4, (descriptor.length, attack.memory.ram_bytes, 0))


def flags_field(_attack: Attack, descriptor: Descriptor, at: int) -> RacedField:
    flags = descriptor.flags
    return RacedField(
        at + _FLAGS_AT, 2, (flags, flags ^ DESC_F_WRITE, flags ^ DESC_F_NEXT, flags | DESC_F_INDIRECT)
    )


def next_field(_attack: Attack, descriptor: Descriptor, at: int) -> RacedField:
    return RacedField(at + _NEXT_AT, 2, (descriptor.following, NUM, 65535, 0))


def table_length(attack: Attack, chain: list[Descriptor]) -> RacedField:
    descriptor = attack.offer_by_table(chain)
    lengths = (descriptor.length, attack.memory.ram_bytes, 8)
    return RacedField(attack.queue.desc_gpa + _LENGTH_AT, 4, lengths)


def table_gpa(attack: Attack, chain: list[Descriptor]) -> RacedField:
    descriptor = attack.offer_by_table(chain)
    places = (descriptor.gpa, attack.memory.hole_gpa, attack.memory.ram_bytes - 8)
    return RacedField(attack.queue.desc_gpa + _GPA_AT, 8, places)


def avail_idx(attack: Attack, chain: list[Descriptor]) -> RacedField:
    attack.offer(chain)
    return RacedField(attack.queue.avail_gpa + 2, 2, (1, 40000, 0))


def avail_entry(attack: Attack, chain: list[Descriptor]) -> RacedField:
    attack.offer(chain)
    return RacedField(attack.queue.avail_gpa + 4, 2, (0, NUM, 65535))


_FIELDS = {"gpa": gpa_field, "length": length_field, "flags": flags_field, "next": next_field}
RACES: dict[str, LayOut] = {
    **{
        f"{name} of the {which} descriptor{how}": of_descriptor(place, field, by_table=by_table)
        for name, field in _FIELDS.items()
        for which, place in (("first", 0), ("last", -1))
        for how, by_table in (("", False), (", by a table", True))
    },
    "length of a table": table_length,
    "gpa of a table": table_gpa,
    "avail.idx": avail_idx,
    "an entry of the available ring": avail_entry,
}


def of_request(request: Request, buffer: int, offset: int, width: int, values: tuple[int, ...]) -> LayOut:
    """A field of what the device reads as a request."""

    def lay_out(attack: Attack, chain: list[Descriptor]) -> RacedField:
        attack.expect(attack.offer(chain), chain, request)
        return RacedField(chain[buffer].gpa + offset, width, values)

    return lay_out


def races_of(victim: Victim) -> dict[str, tuple[int, Request, LayOut]]:
    """All for one device: number of the queue, what is asked for, the field."""
    found = {
        f"{name}, queue {number}": (number, victim.device.shape_of(number), lay_out)
        for name, lay_out in RACES.items()
        for number in victim.device.queues
    }
    for name, race in victim.device.races.items():
        lay_out = of_request(race.request, race.buffer, race.offset, race.width, race.values)
        found[name] = (race.request.queue, race.request, lay_out)
    return found


def run_all(victim: Victim, rounds: int) -> Tally:
    """All races of a device; again, where its thread and the second one hardly run side by side."""
    tally, turns = Tally(), 0
    while turns < TURNS_MAX and not (tally.served and tally.mistakes):
        for name, (number, request, lay_out) in races_of(victim).items():
            one = run(victim, number, request, lay_out, rounds)
            print(f"{name}: {one.served} served, {one.mistakes} mistakes of {rounds}")
            tally += one
        turns += 1
    return tally


def run(victim: Victim, number: int, request: Request, lay_out: LayOut, rounds: int) -> Tally:
    """Plays rounds of a race; afterwards a driver that behaves must be served."""
    tally = Tally()
    outside = victim.device.untouched(victim.where)
    attack = begin(victim, number)
    chain = linked(attack.chain(request))
    watch = victim.memory.watch()
    buffers = [(descriptor.gpa, descriptor.length) for descriptor in chain]
    contents = (*request.readable, *(bytes([FILL]) * length for length in request.writable))
    with RacingWriter(victim.memory, *_as_arguments(lay_out(attack, chain))):
        for _ in range(rounds):
            attack.queue.reset()
            for (gpa, _), content in zip(buffers, contents, strict=True):
                victim.memory.write(gpa, content)
            lay_out(attack, chain)
            attack.publish()
            victim.set_up(number, victim.features & ~EVENT_IDX)
            is_served = _wait(victim, attack, number)
            mistake = victim.reset()
            tally += Tally(int(is_served), int(mistake is not None))
    victim.check_alive()
    # The rings and an indirect table are written here.
    rings = (attack.queue.desc_gpa, attack.tables_gpa - attack.queue.desc_gpa)
    assert watch.written_outside([rings, (attack.tables_gpa, 16 * len(chain)), *buffers]) == []
    assert victim.device.untouched(victim.where) == outside
    serve_every_request(victim)
    return tally


def _as_arguments(field: RacedField) -> tuple[int, int, tuple[int, ...]]:
    return field.gpa, field.width, field.values


def _wait(victim: Victim, attack: Attack, number: int) -> bool:
    """Waits until the chain has come back or there is a mistake; returns whether it has."""
    deadline = Deadline(f"queue {number}")
    while attack.queue.used_idx == 0:
        if victim.mistake() is not None:
            return attack.queue.used_idx != 0
        victim.check_alive()
        deadline.check()
        # Each time: what the device has seen of the index may have been the one from before.
        victim.kick(number)
        victim.wait(number, LOOKS_AGAIN_S)
    pending = attack.pending.get(0)
    if pending is not None:
        _, written = attack.queue.take() or (0, 0)
        content = b"".join(attack.memory.read(at, length) for at, length in pending.writable)
        assert pending.request.is_answered(written, content), (written, content[-80:])
    return True
