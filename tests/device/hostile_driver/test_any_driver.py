"""A driver that does anything, legal and not, in any order, before a real device under main's supervisor.

A simple model knows what must hold: a well-formed chain comes back exactly once, answered, unless the driver
has made its device need a reset; a reset always works; no process ends but by the test's own kills.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from device_procs.device_registry import KINDS
from tests.device.hostile_driver.attack import NUM, Attack
from tests.device.hostile_driver.case import Answer, Case, take_all
from tests.device.hostile_driver.chain_cases import CHAIN_CASES
from tests.device.hostile_driver.declaration import Request, declared
from tests.device.hostile_driver.indirect_cases import INDIRECT_CASES
from tests.device.hostile_driver.register_driver import (
    AREAS,
    DRIVER,
    DRIVER_OK,
    END,
    FAILED,
    FEATURES_OK,
    NEEDS_RESET,
    STATUS,
    WIDTHS,
    RegisterDriver,
)
from tests.device.hostile_driver.victim import LOOKS_AGAIN_S, Deadline
from tests.device.supervised_vm import SupervisedVm
from vmm_main.device_supervisor import restart_policy

pytestmark = pytest.mark.timeout(1200)

HEADS_OF_A_REQUEST = 4  # entries of the table that each has to itself
RESTARTS = 1_000_000
TURNS_MAX = 10
VERSION_1, INDIRECT_DESC, EVENT_IDX, NOT_OFFERED = 1 << 32, 1 << 28, 1 << 29, 1 << 40

CHAINS = {
    name: case
    for name, case in {**CHAIN_CASES, **INDIRECT_CASES}.items()
    if case.answer is Answer.NEEDS_RESET and not case.lacks
}


class Stand:
    """A VM with one device, which all runs of the machine share; what it has been through."""

    def __init__(self, kind: str, where: Path) -> None:
        self.declaration = declared(kind)
        self.where = where
        plan = self.declaration.plan(where)
        self.vm = SupervisedVm(where / "uids.lock", [], planned=((kind, plan),), restart_limit=RESTARTS)
        self.driver = RegisterDriver(self.vm, self.declaration)
        self.outside = self.declaration.untouched(where)
        self.kills = 0
        self.done = dict.fromkeys(("live", "served", "hostile", "killed at work", "writes", "scribbles"), 0)

    def deaths(self) -> list[str]:
        return [data["cause"] for name, data in self.vm.events if name == "DEVICE_PROCESS_DIED"]

    def restarts(self) -> int:
        return sum(name == "DEVICE_PROCESS_RESTARTED" for name, _ in self.vm.events)

    def kill(self) -> None:
        """Kills the process, as soon as there is one that has been ready."""
        self.vm.wait_for(lambda: self.restarts() == self.kills)
        os.kill(self.vm.pid(), signal.SIGKILL)
        self.kills += 1

    def close(self) -> None:
        self.driver.close()
        self.vm.close()


class AnyDriver(RuleBasedStateMachine):
    """The driver, and what it may expect."""

    stand: Stand

    def __init__(self) -> None:
        super().__init__()
        self.driver = self.stand.driver
        self.driver.reset()
        self.is_live = False
        self.is_fresh = True  # Status is 0
        self.is_spoilt = False  # it has no right any more to have anything served
        self.requests = list(self.stand.declaration.requests.values())

    def attack_on(self, queue: int) -> Attack:
        return self.driver.attacks[queue]

    def pending(self) -> int:
        return sum(len(attack.pending) for attack in self.driver.attacks.values())

    # What every driver does.

    @precondition(lambda self: self.is_fresh)
    @rule(lacks=st.sampled_from([0, 0, EVENT_IDX]))
    def go_live(self, lacks: int) -> None:
        self.driver.go_live(lacks)
        self.is_live, self.is_fresh = True, False
        self.stand.done["live"] += 1

    @precondition(lambda self: not self.is_fresh)
    @rule()
    def reset(self) -> None:
        self.driver.reset()
        for attack in self.driver.attacks.values():
            if not self.is_spoilt:
                take_all(attack)
            attack.pending.clear()
        self.driver.attacks = {}
        self.is_live, self.is_fresh, self.is_spoilt = False, True, False

    @precondition(lambda self: self.is_live and not self.is_spoilt)
    @rule(number=st.integers(0, 1000), by_table=st.booleans(), kicks=st.booleans())
    def offer(self, number: int, by_table: bool, kicks: bool) -> None:
        request = self.requests[number % len(self.requests)]
        attack = self.attack_on(request.queue)
        take_all(attack)
        if not attack.pending:
            attack.reuse_buffers()
        if attack.has_room_for_buffers():
            self.offer_at(attack, request, by_table=by_table)
        if kicks:
            self.driver.kick(request.queue)

    def offer_at(self, attack: Attack, request: Request, *, by_table: bool) -> None:
        taken = {head // HEADS_OF_A_REQUEST for head in attack.pending}
        free = sorted(set(range(NUM // HEADS_OF_A_REQUEST)) - taken)
        if not free:
            return
        head = free[0] * HEADS_OF_A_REQUEST
        assert len(request.readable) + len(request.writable) <= HEADS_OF_A_REQUEST
        if by_table:
            attack.offer_well_formed_by_table(request, head)
        else:
            attack.offer_well_formed(request, head)
        attack.publish()

    @precondition(lambda self: self.is_live and not self.is_spoilt)
    @rule()
    def wait_for_all(self) -> None:
        for queue, attack in self.driver.attacks.items():
            self.stand.done["served"] += len(attack.pending)
            deadline = Deadline(f"queue {queue}")
            while attack.pending:
                assert not self.driver.status & NEEDS_RESET
                self.driver.kick(queue)
                if not attack.queue.ask_for_call():
                    attack.queue.wait_for_call(LOOKS_AGAIN_S)
                take_all(attack)
                deadline.check()

    # What happens to every device.

    @precondition(lambda self: self.is_live)
    @rule(offers=st.lists(st.integers(0, 1000), max_size=3))
    def kill(self, offers: list[int]) -> None:
        """With requests that it has just been given, if any may be."""
        for number in offers if not self.is_spoilt else ():
            self.offer(number, by_table=False, kicks=True)
        self.stand.done["killed at work"] += self.pending() > 0
        self.stand.kill()

    @precondition(lambda self: self.is_live)
    @rule()
    def stop_and_cont(self) -> None:
        self.stand.vm.call(self.stand.vm.supervisor.quiesce)
        self.stand.vm.call(self.stand.vm.supervisor.resume)

    # What no driver should do.

    @precondition(lambda self: self.is_live and not self.is_spoilt)
    @rule(chosen=st.sampled_from(sorted(CHAINS.items())), number=st.integers(0, 1000))
    def offer_what_cannot_be(self, chosen: tuple[str, Case], number: int) -> None:
        _, case = chosen
        self.wait_for_all()
        queue = self.stand.declaration.queues[number % len(self.stand.declaration.queues)]
        attack = self.attack_on(queue)
        attack.reuse_buffers()
        if not case.suits(attack):
            return
        case.spoil(attack)
        attack.publish()
        attack.pending.clear()
        self.expect_needs_reset(queue)

    @precondition(lambda self: self.is_live and not self.is_spoilt)
    @rule(by=st.integers(NUM + 1, 65535 - NUM))
    def jump(self, by: int) -> None:
        """Of the available ring's index, while chains are with the device."""
        queue = self.stand.declaration.queues[0]
        attack = self.attack_on(queue)
        attack.set_avail_idx(attack.queue.avail_idx + by)
        attack.publish()
        self.expect_needs_reset(queue)

    @precondition(lambda self: self.is_live)
    @rule(part=st.sampled_from(["avail_gpa", "used_gpa"]), noise=st.binary(min_size=4, max_size=4 + 2 * NUM))
    def scribble(self, part: str, noise: bytes) -> None:
        """Noise in the rings, over the indexes too: also what a successor goes by."""
        for queue in self.driver.queues:
            self.driver.memory.write(getattr(queue, part), noise)
        self.is_spoilt = True
        for index in self.stand.declaration.queues:
            self.driver.kick(index)
        self.stand.done["scribbles"] += 1

    def expect_needs_reset(self, queue: int) -> None:
        self.is_spoilt = True
        self.stand.done["hostile"] += 1
        deadline = Deadline("DEVICE_NEEDS_RESET")
        while not self.driver.status & NEEDS_RESET:
            self.driver.kick(queue)
            deadline.check()
        assert self.driver.status == DRIVER_OK | NEEDS_RESET

    @precondition(lambda self: self.is_fresh)
    @rule(ready=st.sets(st.integers(0, 7)))
    def go_live_with_some_queues(self, ready: set[int]) -> None:
        """Or with none; all are kicked, and those that aren't ready must not be looked at."""
        self.driver.lay_out(event_idx=False)
        attacks, self.driver.attacks = self.driver.attacks, {}
        for attack in attacks.values():
            attack.offer_well_formed()
            attack.publish()
        self.driver.negotiate(self.driver.offered() & ~EVENT_IDX)
        for index, queue in enumerate(self.driver.queues):
            if index in ready:
                self.driver.write_queue(index, NUM, **{name: getattr(queue, name) for name in AREAS})
        self.driver.write(STATUS, DRIVER_OK)
        for index in range(len(self.driver.queues)):
            self.driver.kick(index)
        self.is_fresh = False
        assert self.driver.status == DRIVER_OK
        assert not any(queue.used_idx for index, queue in enumerate(self.driver.queues) if index not in ready)

    @precondition(lambda self: self.is_fresh)
    @rule(features=st.sampled_from([0, NOT_OFFERED | VERSION_1, (1 << 64) - 1, EVENT_IDX]))
    def negotiate_what_is_not_there(self, features: int) -> None:
        self.driver.negotiate(features)
        assert self.driver.status == DRIVER
        self.is_fresh = False

    @precondition(lambda self: self.is_fresh)
    @rule(num=st.sampled_from([0, 3, NUM + 1, 1 << 15, 0xFFFF_FFFF]), gpa=st.integers(0, (1 << 64) - 1))
    def set_up_what_cannot_be(self, num: int, gpa: int) -> None:
        self.driver.negotiate(self.driver.offered())
        self.driver.write_queue(0, num, **dict.fromkeys(AREAS, gpa))
        assert self.driver.status == FEATURES_OK | NEEDS_RESET
        self.driver.write(STATUS, DRIVER_OK)
        assert self.driver.status == FEATURES_OK | NEEDS_RESET
        self.is_fresh = False

    @precondition(lambda self: self.is_live)
    @rule(offset=st.integers(0, END + 8), width=st.sampled_from(WIDTHS), value=st.integers(0, (1 << 64) - 1))
    def write_a_register(self, offset: int, width: int, value: int) -> None:
        """All but a reset, and FAILED: nothing that is live changes."""
        value &= (1 << 8 * width) - 1
        if (offset, width) == (STATUS, 4) and (value == 0 or value & FAILED):
            return
        # What its rings have come to by now may be told at any time.
        told_meanwhile = NEEDS_RESET if self.is_spoilt else 0
        before = self.driver.status
        self.driver.write(offset, value, width)
        assert self.driver.status | told_meanwhile == before | told_meanwhile
        self.stand.done["writes"] += 1

    @precondition(lambda self: self.is_live)
    @rule(value=st.integers(1, FAILED - 1))
    def write_the_status(self, value: int) -> None:
        self.write_a_register(STATUS, 4, value)

    @precondition(lambda self: not self.is_fresh)
    @rule()
    def give_up(self) -> None:
        """FAILED: nothing but a reset is right after it (§2.1.1)."""
        before = self.driver.status | NEEDS_RESET
        self.driver.write(STATUS, FAILED)
        assert self.driver.status | NEEDS_RESET == before | FAILED
        self.is_live, self.is_spoilt = False, True

    @invariant()
    def nothing_has_died_by_itself(self) -> None:
        deaths = self.stand.deaths()
        assert set(deaths) <= {"killed by SIGKILL"}
        assert len(deaths) <= self.stand.kills
        assert self.stand.vm.pauses == []

    def teardown(self) -> None:
        """Whatever was before, a driver that behaves is served after its reset."""
        self.reset()
        self.go_live(0)
        for request in self.requests:
            self.attack_on(request.queue).reuse_buffers()
            self.offer_at(self.attack_on(request.queue), request, by_table=False)
            self.wait_for_all()
        assert self.stand.declaration.untouched(self.stand.where) == self.stand.outside
        self.nothing_has_died_by_itself()


@pytest.fixture(params=KINDS)
def stand(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setattr(restart_policy, "SHORT_LIFE_S", 0.0)  # else kills are answered slower and slower
    with ExitStack() as opened:
        yield opened.enter_context(closing(Stand(request.param, tmp_path)))


def test_any_driver(stand: Stand, full: bool) -> None:
    machine: Any = type("AnyDriverOfOne", (AnyDriver,), {"stand": stand})
    so_many = settings(
        max_examples=2000 if full else 30,
        stateful_step_count=40,
        derandomize=False,  # which is Hypothesis's way where CI is set: every turn would take the same steps
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    for _ in range(TURNS_MAX):  # until each step was taken
        run_state_machine_as_test(machine, settings=so_many)
        if all(stand.done.values()):
            break
    stand.vm.wait_for(lambda: stand.restarts() == stand.kills)
    print(f"{stand.kills} kills; {stand.done}")
    assert all(stand.done.values())
