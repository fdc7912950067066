"""When KVM can't go on, a person reads one sentence: what, where, and which bytes are there."""

from __future__ import annotations

import pytest

from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.conftest import StartBareMetal
from tests.guest.running_vm import BareMetalVm

pytestmark = pytest.mark.timeout(180)

_IMAGE_GPA = 16 << 20
_NOWHERE = 0xD000_0000


def _sentence(vm: BareMetalVm) -> str:
    """What the VMM says, once it has ended as a failure should."""
    client = vm.connect()
    client.send(b'{"execute": "cont"}')
    vm.report.wait_for_seal()
    assert vm.serial.read_to_end() == b""
    vm.expect_end(status=1)
    messages = []
    while (message := client.receive()) is not None:
        messages.append(message)
    client.close()
    assert messages[-1]["event"] == "SHUTDOWN"
    assert messages[-1]["data"] == {"guest": False, "reason": "host-error"}
    text = vm.errors()
    assert text.startswith("bulkhead: CPU 0: KVM gave up on the guest (internal error, suberror ")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    return text


def test_an_instruction_that_kvm_cant_emulate(start: StartBareMetal, images: BareMetalImages) -> None:
    vm = start("fail", "-S", form="flat", append=f"how=instruction target={_NOWHERE:#x}", sockets=1)
    text = _sentence(vm)
    rip = vm.report.number("failing-instruction")
    instruction = images.flat.read_bytes()[rip - _IMAGE_GPA :][:15]
    assert instruction.startswith(b"\xf0\x48\x0f\xc7"), "lock cmpxchg16b"
    assert f"suberror 1: an instruction that it can't emulate) at RIP {rip:#x}" in text
    assert f"(bytes {instruction.hex(' ')})" in text


def test_a_jump_to_where_no_memory_is(start: StartBareMetal) -> None:
    vm = start("fail", "-S", append=f"how=jump target={_NOWHERE:#x}", sockets=1)
    text = _sentence(vm)
    assert f"at RIP {_NOWHERE:#x} (not in RAM); the guest has jumped to where it has no memory" in text
    assert "host" not in text, "whatever the host is, it isn't to blame"
