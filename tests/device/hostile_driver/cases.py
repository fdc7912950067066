"""The table: what a hostile driver does to a queue, and the answer that it must get.

Registered devices are attacked with all of it, in their jail and standalone under sanitizers. What may be
wrong with the contents of a request is the device's own, in its well_formed_requests.py.
"""

from __future__ import annotations

from tests.device.hostile_driver.attack import Attack
from tests.device.hostile_driver.case import Answer, Case
from tests.device.hostile_driver.chain_cases import CHAIN_CASES
from tests.device.hostile_driver.declaration import DeclaredDevice, Request
from tests.device.hostile_driver.indirect_cases import INDIRECT_CASES
from tests.device.hostile_driver.ring_cases import RING_CASES

CASES: dict[str, Case] = {**CHAIN_CASES, **INDIRECT_CASES, **RING_CASES}


def refusals(device: DeclaredDevice) -> dict[str, tuple[int, Case]]:
    """A device's own: well-formed chains with contents that can't be, each with the number of its queue."""

    def case(request: Request) -> Case:
        def spoil(attack: Attack) -> None:
            attack.offer_well_formed(request)

        return Case("§5", Answer.SERVED, spoil)

    return {name: (request.queue, case(request)) for name, request in device.refused.items()}
