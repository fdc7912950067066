"""What a soak does, drawn from its seed alone: the same seed gives the same decisions at any speed."""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

# A device may be restarted 20 times at once (vmm_main/device_supervisor/restart_policy.py): a VM dies less.
DEATHS_PER_VM = 14
# By how often they are in the deck that is drawn from. The first ones end a device's process.
DEADLY = {
    **{
        "kill-device": 6,
        "segv-device": 4,
        "abort-device": 3,
        "restart-device": 3,
        "restart-hanging-device": 2,
        "hang-device": 2,
    },
    "kill-zygote": 2,
}
ACTIONS = {
    **DEADLY,
    "stop-device-for-a-while": 4,
    "stop-and-cont": 5,
    "system-reset": 3,
    "query": 8,
    "garbage": 6,
    "serial-client": 4,
}
ENDS = ("quit", "sigterm", "sigkill", "quit-without-spawner")
QUERIES = (
    *("query-status", "query-version", "query-commands", "query-cpus-fast", "query-chardev", "query-name"),
    *("query-device-processes", "query-block", "query-blockstats", "query-qmp-schema"),
)
GARBAGE = ("bytes", "half", "unknown", "hang-up", "long", "flood")


@dataclass(frozen=True)
class Action:
    """One thing that is done to a VM.

    Attributes:
        name: Of ACTIONS.
        device: The number of the device it is done to, if it is done to one.
        choice: What else is drawn for it: a query's name, a kind of garbage.
        progress: How much each device has to do until the next action.
    """

    name: str
    device: int
    choice: str
    progress: int


@dataclass(frozen=True)
class Disk:
    """A disk's options, and the sectors that it has."""

    sectors: int
    options: str


@dataclass(frozen=True)
class VmPlan:
    """One VM from its start to its end."""

    nonce: int
    cpus: int
    memory_mib: int
    span: int
    resets: int
    zeros: bool
    disks: tuple[Disk, ...]
    entropy: tuple[str, ...]
    actions: tuple[Action, ...]
    end: str

    @property
    def device_names(self) -> list[str]:
        """The devices' ids, in the order of their slots."""
        entropy = [f"rng{number}" for number in range(len(self.entropy))]
        return [*entropy, *(f"blk{number}" for number in range(len(self.disks)))]


class _Deck:
    """Cards in a random order; all are drawn before one comes again, so that each comes soon."""

    def __init__(self, draw: random.Random, cards: Iterable[str]) -> None:
        self._draw = draw
        self._cards = list(cards)
        self._left: list[str] = []

    def take(self, refused: Container[str] = ()) -> str:
        """The next one that isn't refused; those before it are thrown away."""
        while True:
            if not self._left:
                self._left = self._draw.sample(self._cards, len(self._cards))
            if (card := self._left.pop()) not in refused:
                return card


def plans(seed: int) -> Iterator[VmPlan]:
    """One VM after the other, without an end."""
    draw = random.Random(seed)
    actions = _Deck(draw, (name for name, count in ACTIONS.items() for _ in range(count)))
    ends = _Deck(draw, ENDS)
    while True:
        yield _vm(draw, actions, ends)


def _vm(draw: random.Random, actions: _Deck, ends: _Deck) -> VmPlan:
    disks = tuple(
        Disk(draw.choice((64, 128, 256)), draw.choice(("", ",direct=on"))) for _ in range(draw.randint(1, 3))
    )
    entropy = tuple(
        draw.choice(("", ",max-bytes=4096,period=100"))
        for _ in range(draw.randint(0 if len(disks) > 1 else 1, 2))
    )
    return VmPlan(
        nonce=draw.getrandbits(63),
        cpus=draw.randint(1, 2),
        memory_mib=draw.choice((256, 512)),
        span=draw.choice((1, 2, 4, 8)),
        resets=draw.choice((0, 0, 7, 40)),
        zeros=draw.random() < 0.5,
        disks=disks,
        entropy=entropy,
        actions=tuple(_actions(draw, actions, len(disks) + len(entropy))),
        end=ends.take(),
    )


def _actions(draw: random.Random, deck: _Deck, devices: int) -> Iterator[Action]:
    deaths = 0
    for _ in range(draw.choice((5, 15, 40))):
        name = deck.take(refused=() if deaths < DEATHS_PER_VM else DEADLY)
        deaths += name in DEADLY
        choice = draw.choice({"query": QUERIES, "garbage": GARBAGE}.get(name, ("",)))
        yield Action(name, draw.randrange(devices), choice, draw.choice((1, 1, 5, 20)))
