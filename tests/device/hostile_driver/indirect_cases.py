"""Indirect descriptor tables as no driver should make them, and as one may (virtio 1.2 §2.7.5.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.device.hostile_driver.attack import NUM, Attack, Descriptor, in_pieces, linked
from tests.device.hostile_driver.attacked_memory import PART, TOP_GPA
from tests.device.hostile_driver.case import Answer, Case
from tests.device.hostile_driver.chain_cases import (
    BEYOND,
    LOOPS,
    NOT_IN_RAM,
    UINT32_MAX,
    UINT64_MAX,
    Spoil,
    last_loops,
    next_is,
)
from tools.fake_driver.driver_queue import DESC_F_INDIRECT, DESC_F_NEXT, DESC_F_WRITE

INDIRECT_DESC = 1 << 28
SEGMENTS_MAX = 1024  # of a chain; the kernel's IOV_MAX


def spoiled_table(change: Callable[[Attack, list[Descriptor]], None]) -> Spoil:
    """The same in an indirect table."""

    def spoil(attack: Attack) -> None:
        chain = linked(attack.chain())
        change(attack, chain)
        attack.offer_by_table(chain)

    return spoil


def refers(change: Callable[[Attack, Descriptor], None]) -> Spoil:
    """A sound indirect table, and something changed in the descriptor that refers to it."""

    def spoil(attack: Attack) -> None:
        descriptor = attack.offer_by_table(linked(attack.chain()))
        change(attack, descriptor)
        attack.write_direct([descriptor])

    return spoil


def nested(attack: Attack, chain: list[Descriptor]) -> None:
    inner = attack.tables_gpa + 0x800
    chain[-1] = Descriptor(inner, attack.write_table(inner, [chain[-1]]), DESC_F_INDIRECT)


def itself(attack: Attack, chain: list[Descriptor]) -> None:
    """The table refers to itself."""
    chain[-1] = Descriptor(attack.tables_gpa, 16 * len(chain), DESC_F_INDIRECT)


def flags_and(more: int) -> Callable[[Attack, Descriptor], None]:
    def change(_attack: Attack, descriptor: Descriptor) -> None:
        descriptor.flags |= more

    return change


def table_of(length: int) -> Callable[[Attack, Descriptor], None]:
    def change(_attack: Attack, descriptor: Descriptor) -> None:
        descriptor.length = length

    return change


def table_at(gpa: Callable[[Attack], int]) -> Callable[[Attack, Descriptor], None]:
    def change(attack: Attack, descriptor: Descriptor) -> None:
        descriptor.gpa = gpa(attack)

    return change


def too_many_segments(attack: Attack, chain: list[Descriptor]) -> None:
    chain += [
        Descriptor(chain[-1].gpa, 0, chain[-1].flags & DESC_F_WRITE)
        for _ in range(SEGMENTS_MAX + 1 - len(chain))
    ]
    linked(chain)


def served(lay_out: Callable[[Attack, list[Descriptor]], list[Descriptor]]) -> Spoil:
    """The shape laid out in some other way, by an indirect table: it must be answered all the same."""

    def spoil(attack: Attack) -> None:
        chain = attack.chain()
        attack.expect(0, chain)
        attack.offer_by_table(linked(lay_out(attack, chain)))

    return spoil


def served_by_table(gpa: Callable[[Attack], int], flags: int = 0) -> Spoil:
    """The shape by a sound table in an odd place."""

    def spoil(attack: Attack) -> None:
        chain = attack.chain()
        attack.expect(0, chain)
        attack.offer_by_table(linked(chain), gpa(attack), flags)

    return spoil


def empty_between(_attack: Attack, chain: list[Descriptor]) -> list[Descriptor]:
    padded = []
    for descriptor in chain:
        padded += [Descriptor(descriptor.gpa, 0, descriptor.flags), descriptor]
    return padded


def _indirect() -> Iterator[tuple[str, Case]]:
    def bad(spoil: Spoil, says: str, section: str = "§2.7.5.3.1", lacks: int = 0) -> Case:
        return Case(section, Answer.NEEDS_RESET, spoil, says, lacks)

    length, not_in_ram = "an indirect table's length isn't a multiple of 16", "an indirect table isn't in RAM"
    nesting = "an indirect descriptor in an indirect table"
    yield (
        "indirect without the feature",
        bad(refers(lambda _attack, _descriptor: None), "which wasn't negotiated", lacks=INDIRECT_DESC),
    )
    yield "indirect with a next", bad(refers(flags_and(DESC_F_NEXT)), "an indirect descriptor has a next")
    yield "indirect in indirect", bad(spoiled_table(nested), nesting)
    yield "a table that refers to itself", bad(spoiled_table(itself), nesting)
    for name, of in {
        "of no bytes": 0,
        "of a byte": 1,
        "of half an entry": 8,
        "of 17 bytes": 17,
        "of 2^32-1 bytes": UINT32_MAX,
    }.items():
        yield f"a table {name}", bad(refers(table_of(of)), length)
    yield "a table of 2^32-16 bytes", bad(refers(table_of(UINT32_MAX - 15)), not_in_ram)
    places: dict[str, Callable[[Attack], int]] = {
        "in the hole behind RAM": lambda attack: attack.memory.hole_gpa,
        "over the end of RAM": lambda attack: attack.memory.ram_bytes - 8,
        "over the end of all regions": lambda _attack: TOP_GPA + PART - 15,
        "where its end wraps": lambda _attack: UINT64_MAX - 15,
    }
    for name, gpa in places.items():
        yield f"a table {name}", bad(refers(table_at(gpa)), not_in_ram)
    yield (
        "next beyond an indirect table",
        bad(spoiled_table(lambda attack, chain: next_is(len(chain))(attack, chain)), BEYOND),
    )
    yield "a loop in an indirect table", bad(spoiled_table(last_loops), LOOPS)
    yield "more segments than a chain may have", bad(spoiled_table(too_many_segments), LOOPS)
    yield (
        "a buffer in the hole, by a table",
        bad(
            spoiled_table(lambda attack, chain: setattr(chain[-1], "gpa", attack.memory.hole_gpa)), NOT_IN_RAM
        ),
    )


def _odd_but_served() -> Iterator[tuple[str, Case]]:
    def good(spoil: Spoil, section: str = "§2.7.5.3.2") -> Case:
        return Case(section, Answer.SERVED, spoil)

    yield "a table at an odd address", good(served_by_table(lambda attack: attack.tables_gpa + 0x403))
    yield "a table in read-only memory", good(served_by_table(lambda attack: attack.memory.read_only_gpa + 1))
    yield (
        "a table whose descriptor says WRITE",
        good(served_by_table(lambda attack: attack.tables_gpa, DESC_F_WRITE)),
    )
    # No MUST of the device's: Linux makes such chains (virtqueue_add_split()).
    yield (
        "a chain longer than the queue",
        good(served(lambda _attack, chain: in_pieces(chain, 5 * NUM)), "§2.7.5.3.1"),
    )
    yield "empty buffers between", good(served(empty_between), "§2.7.5")


INDIRECT_CASES = dict([*_indirect(), *_odd_but_served()])
