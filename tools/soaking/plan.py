"""What a soak does, drawn from its seed alone: the same seed gives the same decisions at any speed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

# A device may be restarted 20 times at once (vmm_main/device_supervisor/restart_policy.py): a VM dies less.
DEATHS_PER_VM = 14
# By how often they are drawn. The first ones end a device's process.
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


def plans(seed: int) -> Iterator[VmPlan]:
    """One VM after the other, without an end."""
    draw = random.Random(seed)
    while True:
        yield _vm(draw)


def _vm(draw: random.Random) -> VmPlan:
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
        actions=tuple(_actions(draw, len(disks) + len(entropy))),
        end=draw.choice(ENDS),
    )


def _actions(draw: random.Random, devices: int) -> Iterator[Action]:
    deaths = 0
    for _ in range(draw.choice((5, 15, 40))):
        weights = {
            name: weight for name, weight in ACTIONS.items() if deaths < DEATHS_PER_VM or name not in DEADLY
        }
        (name,) = draw.choices(list(weights), list(weights.values()))
        deaths += name in DEADLY
        choice = draw.choice({"query": QUERIES, "garbage": GARBAGE}.get(name, ("",)))
        yield Action(name, draw.randrange(devices), choice, draw.choice((1, 1, 5, 20)))
