"""The table of attacks: a row for each thing that a hostile process does.

A kind inherits all of it by being registered.
"""

from __future__ import annotations

from device_procs.device_registry import module_of
from tests.device.hostile_device import call_attacks, memory_attacks, packet_attacks, schema_attacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from device_procs.device_module import DeviceModule
    from tests.device.hostile_device.attack import Attack

# About the control socket, whatever the kind of device is.
ABOUT_PACKETS = (*packet_attacks.FORMS, *packet_attacks.ORDERS)
GENERAL = (
    *packet_attacks.ANSWERS,
    *packet_attacks.DEATHS,
    *memory_attacks.BLACK_BOX,
    *memory_attacks.SHARED,
    *call_attacks.EXHAUSTION,
)


# What there is no row for: tests of their own and a benchmark have them go on.
WITHOUT_END = (*call_attacks.STORMS, packet_attacks.TALK, packet_attacks.FLOOD, memory_attacks.CALLS)


def attacks_on(module: DeviceModule) -> list[Attack]:
    """All that there are of a kind."""
    return [*ABOUT_PACKETS, *GENERAL, *WITHOUT_END, *schema_attacks.attacks_of(module, all_wrong=True)]


def rows(kind: str, kinds: tuple[str, ...], *, full: bool) -> list[Attack]:
    """Those of a kind with one thing that must come of each.

    Not full: packets are dealt out among all kinds, and of the wrong values of a message there is one.
    """
    module = module_of(kind)
    packets = ABOUT_PACKETS if full else ABOUT_PACKETS[kinds.index(kind) :: len(kinds)]
    return [*packets, *GENERAL, *schema_attacks.attacks_of(module, all_wrong=full)]


def numbered_kind(kind: str, number: int) -> str:
    """How the zygote knows a process that makes the attack of that number: short, whatever it is called."""
    return f"{kind}: attack {number}"


def kind_name(kind: str, attack: Attack) -> str:
    """The same, of an attack."""
    names = [each.name for each in attacks_on(module_of(kind))]
    return numbered_kind(kind, names.index(attack.name))
