"""Descriptor chains as no driver should make them, and as one may although few do (virtio 1.2 §2.7.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.device.hostile_driver.attack import NUM, Attack, Descriptor, linked
from tests.device.hostile_driver.attacked_memory import PART, SPARSE_BYTES, TOP_GPA
from tests.device.hostile_driver.case import Answer, Case
from tests.device.hostile_driver.declaration import Request
from tools.fake_driver.driver_queue import DESC_F_NEXT, DESC_F_WRITE

UINT32_MAX, UINT64_MAX = (1 << 32) - 1, (1 << 64) - 1

LOOPS = "a descriptor chain loops or is too long"
NOT_IN_RAM = "a descriptor's buffer isn't in RAM"
TOO_BIG = "a descriptor chain has 4 GiB or more"
BEYOND = "a descriptor's next is beyond the table"
WRONG_ORDER = "a device-readable descriptor follows a device-writable one"

Spoil = Callable[[Attack], None]


def spoiled(change: Callable[[Attack, list[Descriptor]], None]) -> Spoil:
    """The shape with something changed in its chain, offered directly."""

    def spoil(attack: Attack) -> None:
        chain = linked(attack.chain())
        change(attack, chain)
        attack.offer(chain)

    return spoil


def last_loops(_attack: Attack, chain: list[Descriptor]) -> None:
    chain[-1].flags |= DESC_F_NEXT
    chain[-1].following = len(chain) - 1


def loops_to_the_head(_attack: Attack, chain: list[Descriptor]) -> None:
    chain[-1].flags |= DESC_F_NEXT
    chain[-1].following = 0


def whole_table_loops(attack: Attack, chain: list[Descriptor]) -> None:
    """Every descriptor of the queue, and one more."""
    more = [Descriptor(chain[-1].gpa, 1, chain[-1].flags & DESC_F_WRITE) for _ in range(NUM - len(chain))]
    chain += more
    linked(chain)
    loops_to_the_head(attack, chain)


def next_is(value: int) -> Callable[[Attack, list[Descriptor]], None]:
    """The last one's next; what would lie there, were the table longer, is a sound descriptor."""

    def change(attack: Attack, chain: list[Descriptor]) -> None:
        for at in (NUM, len(chain)):
            end = Descriptor(chain[-1].gpa, 0, chain[-1].flags & DESC_F_WRITE)
            attack.memory.write(attack.tables_gpa + 16 * at, end.pack())
        chain[-1].flags |= DESC_F_NEXT
        chain[-1].following = value

    return change


def buffer_at(gpa: Callable[[Attack], int], length: int | None = None, place: int = -1) -> Spoil:
    """One descriptor's buffer is elsewhere."""

    def change(attack: Attack, chain: list[Descriptor]) -> None:
        chain[place].gpa = gpa(attack)
        chain[place].length = chain[place].length if length is None else length

    return spoiled(change)


def of_length(length: int, place: int = -1) -> Spoil:
    def change(_attack: Attack, chain: list[Descriptor]) -> None:
        chain[place].length = length

    return spoiled(change)


def all_empty(_attack: Attack, chain: list[Descriptor]) -> None:
    for descriptor in chain:
        descriptor.length = 0


def readable_behind(attack: Attack, chain: list[Descriptor]) -> None:
    chain.append(Descriptor(attack.buffer(b"?" * 16), 16))
    linked(chain)


def turned_round(_attack: Attack, chain: list[Descriptor]) -> None:
    """Writable before readable."""
    chain.sort(key=lambda descriptor: -(descriptor.flags & DESC_F_WRITE))
    for descriptor in chain:
        descriptor.flags &= DESC_F_WRITE
    linked(chain)


def without_room(_attack: Attack, chain: list[Descriptor]) -> None:
    """Only what may be read, or, where that is nothing, the same for reading."""
    readable = [descriptor for descriptor in chain if not descriptor.flags & DESC_F_WRITE]
    for descriptor in chain:
        descriptor.flags = 0
    chain[:] = readable or chain
    linked(chain)


def readable_before(attack: Attack, chain: list[Descriptor]) -> None:
    """Something to read for a queue that only writes."""
    chain.insert(0, Descriptor(attack.buffer(b"?" * 16), 16))
    linked(chain)


def without_header(_attack: Attack, chain: list[Descriptor]) -> None:
    chain[:] = [descriptor for descriptor in chain if descriptor.flags & DESC_F_WRITE]
    linked(chain)


def header_cut(attack: Attack) -> None:
    """A byte is missing of what says what is asked for."""
    shape = attack.shape
    readable = b"".join(shape.readable)[: shape.header_bytes - 1]
    attack.offer(linked(attack.chain(Request((readable,), shape.writable, shape.is_answered))))


def too_big(flags: int) -> Callable[[Attack, list[Descriptor]], None]:
    """As many large buffers as the table has room for, behind the last of that direction; all are in RAM."""

    def change(attack: Attack, chain: list[Descriptor]) -> None:
        large = [Descriptor(attack.memory.sparse_gpa, SPARSE_BYTES, flags) for _ in range(NUM - len(chain))]
        last = max(place for place, each in enumerate(chain) if each.flags & DESC_F_WRITE == flags)
        chain[last + 1 : last + 1] = large
        linked(chain)

    return change


def has_both(attack: Attack) -> bool:
    return bool(attack.shape.readable and attack.shape.writable)


def needs_bytes(attack: Attack) -> bool:
    """Whether a chain without any can't be a request."""
    return has_header(attack) or only_writes(attack)


def only_writes(attack: Attack) -> bool:
    return not attack.shape.readable


def has_header(attack: Attack) -> bool:
    return attack.shape.header_bytes > 0


def reads(attack: Attack) -> bool:
    return bool(attack.shape.readable)


def writes(attack: Attack) -> bool:
    return bool(attack.shape.writable)


def served_directly(change: Callable[[Attack, list[Descriptor]], None]) -> Spoil:
    """The shape with something changed that mustn't matter."""

    def spoil(attack: Attack) -> None:
        chain = linked(attack.chain())
        change(attack, chain)
        attack.expect(0, chain)
        attack.offer(chain)

    return spoil


def unknown_flags(_attack: Attack, chain: list[Descriptor]) -> None:
    for descriptor in chain:
        descriptor.flags |= 0xFFF8


def in_the_last_region(attack: Attack, chain: list[Descriptor]) -> None:
    """Everything right up to the end of it."""
    end = TOP_GPA + PART
    for descriptor in reversed(chain):
        end -= descriptor.length
        content = attack.memory.read(descriptor.gpa, descriptor.length)
        attack.memory.write(attack.memory.place_of(end), content)
        descriptor.gpa = end


def readable_in_read_only(attack: Attack, chain: list[Descriptor]) -> None:
    gpa = attack.memory.read_only_gpa
    for descriptor in chain:
        if not descriptor.flags & DESC_F_WRITE:
            attack.memory.write(gpa, attack.memory.read(descriptor.gpa, descriptor.length))
            descriptor.gpa = gpa
            gpa += descriptor.length


def whole_queue_forgotten(attack: Attack) -> None:
    """A chain of nothing but the zeroes that the table was made of."""
    attack.offer([Descriptor(0, 0)])


_PLACES = {"last": -1, "first": 0}


def _buffers() -> Iterator[tuple[str, Case]]:
    def bad(spoil: Spoil, says: str = NOT_IN_RAM) -> Case:
        return Case("§2.7.5.2", Answer.NEEDS_RESET, spoil, says)

    for name, place in _PLACES.items():
        at: dict[str, tuple[Callable[[Attack], int], int | None]] = {
            "in the hole behind RAM": (lambda attack: attack.memory.hole_gpa, 1),
            "over the end of RAM": (lambda attack: attack.memory.ram_bytes - 1, 2),
            "over the end of all regions": (lambda _attack: TOP_GPA + PART - 8, 16),
            "before the last region": (lambda _attack: TOP_GPA - 1, 1),
            "in the middle of nowhere": (lambda _attack: 1 << 40, None),
            "at the end of all addresses": (lambda _attack: UINT64_MAX, 1),
            "where the end wraps to 0": (lambda _attack: UINT64_MAX - 7, 8),
            "where the end wraps into RAM": (lambda _attack: UINT64_MAX - 7, 4096),
            "where the end of the last region wraps": (lambda _attack: TOP_GPA, UINT32_MAX - PART),
            "where the file has something": (lambda attack: attack.memory.top_at, 16),
        }
        for where, (gpa, length) in at.items():
            yield f"the {name} buffer {where}", bad(buffer_at(gpa, length, place))
    # More than one has 4 GiB in total, which is a mistake of its own.
    yield "a buffer of 2^32-1 bytes", bad(of_length(UINT32_MAX), "")
    yield "all buffers of 2^32-1 bytes", bad(spoiled(lambda _attack, chain: _set_lengths(chain)), "")
    for what, flags, suits in (("read", 0, reads), ("written", DESC_F_WRITE, writes)):
        spoil = spoiled(too_big(flags))
        case = Case("§2.7.5.2", Answer.NEEDS_RESET, spoil, TOO_BIG, suits=suits)
        yield f"more than 4 GiB of RAM to be {what}", case
    yield (
        "a writable buffer in read-only memory",
        Case(
            "§2.7.5.2",
            Answer.NEEDS_RESET,
            buffer_at(lambda attack: attack.memory.read_only_gpa, 1),
            NOT_IN_RAM,
            suits=writes,
        ),
    )


def _set_lengths(chain: list[Descriptor]) -> None:
    for descriptor in chain:
        descriptor.length = UINT32_MAX


def _malformed() -> Iterator[tuple[str, Case]]:
    reset = Answer.NEEDS_RESET
    yield "the last descriptor is its own next", Case("§2.7.5.2", reset, spoiled(last_loops), LOOPS)
    yield "the last descriptor's next is the head", Case("§2.7.5.2", reset, spoiled(loops_to_the_head))
    yield "a chain of more than the whole table", Case("§2.7.5.2", reset, spoiled(whole_table_loops))
    yield "next one beyond the table", Case("§2.7.5", reset, spoiled(next_is(NUM)), BEYOND)
    yield "next 65535", Case("§2.7.5", reset, spoiled(next_is(65535)), BEYOND)
    yield "only empty buffers", Case("§2.7.5", reset, spoiled(all_empty), suits=needs_bytes)
    yield "a descriptor of zeroes", Case("§2.7.5", reset, whole_queue_forgotten, suits=needs_bytes)
    yield (
        "readable behind writable",
        Case("§2.7.4.2", reset, spoiled(readable_behind), WRONG_ORDER, suits=writes),
    )
    yield (
        "writable before readable",
        Case("§2.7.4.2", reset, spoiled(turned_round), WRONG_ORDER, suits=has_both),
    )
    yield "nothing that may be written", Case("§2.7.4.2", reset, spoiled(without_room), suits=writes)
    yield "readable for who only writes", Case("§5", reset, spoiled(readable_before), suits=only_writes)
    yield "no header", Case("§2.7.4.2", reset, spoiled(without_header), suits=has_header)
    yield "a header without its last byte", Case("§2.7.4.2", reset, header_cut, suits=has_header)


def _odd_but_served() -> Iterator[tuple[str, Case]]:
    served = {
        "every unknown flag": unknown_flags,
        "everything at the end of the last region": in_the_last_region,
        "what is read is in read-only memory": readable_in_read_only,
    }
    for name, change in served.items():
        yield name, Case("§2.7.5", Answer.SERVED, served_directly(change))


CHAIN_CASES = dict([*_buffers(), *_malformed(), *_odd_but_served()])
