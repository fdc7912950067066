"""What a hostile driver does, and the answer that it must get: one case, and how it is played."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from tests.device.hostile_driver.attack import NUM, Attack
from tests.device.hostile_driver.attacked_memory import Watch
from tests.device.hostile_driver.victim import LOOKS_AGAIN_S, Deadline, Victim


class Answer(Enum):
    """What the specification has for it."""

    NEEDS_RESET = "DEVICE_NEEDS_RESET (§2.1.2), nothing of the chain is done"
    SERVED = "served like any other"
    EITHER = "served in part or DEVICE_NEEDS_RESET: the driver has spoilt what it would be told by"


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        section: Of virtio 1.2, where what the driver breaks (or may do) is.
        answer: What it must get.
        spoil: Lays it out in memory.
        says: Words of the reason that the log gets; "" for any.
        lacks: Feature bits that aren't accepted.
        rings: Changes of num, desc_gpa, avail_gpa, used_gpa against where the driver's rings are.
        live: Done when the device runs already and has done what spoil() has laid out.
        suits: Which devices' queues can be attacked so.
    """

    section: str
    answer: Answer
    spoil: Callable[[Attack], None]
    says: str = ""
    lacks: int = 0
    rings: Callable[[Attack], dict[str, int]] = lambda _attack: {}
    live: Callable[[Attack], None] | None = None
    suits: Callable[[Attack], bool] = field(default=lambda _attack: True)


def begin(victim: Victim, number: int) -> Attack:
    """Empty rings for an attack on a queue; the device is reset."""
    queue = victim.queues[number]
    victim.memory.write(queue.desc_gpa, bytes(queue.STRIDE))
    queue.reset()
    return Attack(queue, victim.memory, victim.device, number)


def take_all(attack: Attack) -> None:
    """Takes what has come back; each chain must be pending, and answered as it should be."""
    while (taken := attack.queue.take()) is not None:
        head, written = taken
        assert head in attack.pending, f"head {head} isn't pending"
        pending = attack.pending.pop(head)
        content = b"".join(attack.memory.read(at, length) for at, length in pending.writable)
        assert pending.request.is_answered(written, content), (head, written, content[-80:])


def wait_for_outcome(
    victim: Victim, attack: Attack, number: int, *, of_mistake: bool = False, asks_for_calls: bool = False
) -> str | None:
    """Waits until nothing is pending, or the device needs a reset; returns the mistake.

    Args:
        victim: The device.
        attack: What is pending.
        number: Of its queue.
        of_mistake: Whether there must be one: then nothing else ends the wait, if nothing is pending.
        asks_for_calls: Whether used_event is kept, as a driver does that behaves.
    """
    deadline = Deadline(f"queue {number}")
    is_told_by_chains = bool(attack.pending) or not of_mistake
    while (mistake := victim.mistake()) is None:
        take_all(attack)
        if not attack.pending and is_told_by_chains:
            victim.settle()
            return victim.mistake()
        victim.check_alive()
        deadline.check()
        if not (asks_for_calls and attack.queue.ask_for_call()):
            victim.wait(number, LOOKS_AGAIN_S)
    take_all(attack)
    return mistake


def wait_for_effect(victim: Victim, watch: Watch, number: int) -> str | None:
    """Waits until the device has written something, or needs a reset; returns the mistake."""
    deadline = Deadline(f"queue {number}")
    while victim.mistake() is None and not watch.written_outside([]):
        victim.check_alive()
        deadline.check()
        victim.wait(number, LOOKS_AGAIN_S)
    victim.settle()
    return victim.mistake()


def play(victim: Victim, case: Case, number: int) -> None:
    """Plays a case against a device that is reset, which then must serve a driver that behaves."""
    attack = begin(victim, number)
    outside = victim.device.untouched(victim.where)
    case.spoil(attack)
    attack.publish()
    watch = victim.memory.watch()
    victim.set_up(number, victim.features & ~case.lacks, **case.rings(attack))
    victim.kick(number)
    must_be_told = case.answer is Answer.NEEDS_RESET
    if case.answer is Answer.EITHER:
        mistake = wait_for_effect(victim, watch, number)
    else:
        mistake = wait_for_outcome(victim, attack, number, of_mistake=must_be_told and case.live is None)
    if case.live is not None:
        assert mistake is None, mistake
        assert watch.written_outside(attack.writable_ranges) == []
        case.live(attack)
        attack.publish()
        watch = victim.memory.watch()
        victim.kick(number)
        mistake = wait_for_outcome(victim, attack, number, of_mistake=must_be_told)
    victim.check_alive()
    check_answer(case, victim.reset() or mistake)
    assert case.answer is Answer.EITHER or attack.queue.take() is None, "completed, and nobody waits for it"
    assert watch.written_outside(attack.writable_ranges) == []
    assert victim.device.untouched(victim.where) == outside
    serve_every_request(victim)


def check_answer(case: Case, mistake: str | None) -> None:
    """Whether it is the table's."""
    if case.answer is Answer.SERVED:
        assert mistake is None
    elif case.answer is Answer.NEEDS_RESET:
        assert mistake is not None, "taken for good"
    if mistake is not None:
        assert case.says in mistake


def serve_every_request(victim: Victim) -> None:
    """A driver that behaves: every request of every queue that takes some; the device is reset afterwards."""
    for number in victim.device.queues:
        attack = begin(victim, number)
        victim.set_up(number, victim.features)
        requests = [each for each in victim.device.requests.values() if each.queue == number]
        first = 0
        for request in requests:
            if first + len(request.readable) + len(request.writable) > NUM:
                _serve(victim, attack, number)
                first = 0
            attack.offer_well_formed(request, first)
            first += len(request.readable) + len(request.writable)
        _serve(victim, attack, number)
        assert attack.queue.used_idx == len(requests)
        assert victim.reset() is None
    victim.check_alive()


def _serve(victim: Victim, attack: Attack, number: int) -> None:
    attack.publish()
    victim.kick(number)
    assert wait_for_outcome(victim, attack, number, asks_for_calls=True) is None
