"""The table of attacks: a row for each thing that a hostile process does.

A kind inherits all of it by being registered.
"""

from __future__ import annotations

from tests.device.hostile_device import call_attacks, memory_attacks, packet_attacks, schema_attacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from device_procs.device_module import DeviceModule
    from tests.device.hostile_device.attack import Attack

GENERAL = (
    *packet_attacks.FORMS,
    *packet_attacks.ORDERS,
    *packet_attacks.ANSWERS,
    *packet_attacks.DEATHS,
    *memory_attacks.BLACK_BOX,
    *memory_attacks.SHARED,
    *call_attacks.EXHAUSTION,
)


def attacks_on(module: DeviceModule) -> list[Attack]:
    """All that there are of a kind, storms included."""
    return [*GENERAL, *call_attacks.STORMS, *schema_attacks.attacks_of(module, all_wrong=True)]


def rows(module: DeviceModule, *, full: bool) -> list[Attack]:
    """Those with one thing that must come of each; not full: of the wrong values of a message, one."""
    return [*GENERAL, *schema_attacks.attacks_of(module, all_wrong=full)]


def kind_name(kind: str, number: int) -> str:
    """How the zygote knows a process that makes the attack of that number of its kind's."""
    return f"{kind}: attack {number}"
