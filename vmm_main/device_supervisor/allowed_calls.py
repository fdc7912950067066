"""What the filters of a device's threads allow, for people: read from the profiles that were compiled in."""

from __future__ import annotations

from device_procs.device_registry import KINDS
from vmm_main.kvm._kvm import ffi, lib

_INSTRUCTION_BYTES = 8  # struct sock_filter


def allowed_calls(kind: str) -> list[str]:
    """Every rule of a kind's control and worker thread, as "thread: call (condition)"."""
    _, folder = KINDS[kind]
    return [
        f"{thread}: {rule}" for thread in ("control", "worker") for rule in rules_of(f"{folder}_{thread}")
    ]


def program_of(profile: str) -> bytes | None:
    """A profile's compiled program, as the kernel takes it; None if there is no such profile."""
    program = ffi.new("const void **")
    length = lib.filters_program(profile.encode(), program)
    if length < 0:
        return None
    return bytes(ffi.buffer(program[0], length * _INSTRUCTION_BYTES))


def rules_of(profile: str) -> list[str]:
    """Every rule of a profile, as "call (condition)"."""
    rules = ffi.new("const struct filter_rule **")
    found = []
    for index in range(max(lib.filters_rules(profile.encode(), rules), 0)):
        rule = rules[0][index]
        condition = ffi.string(rule.condition).decode()
        call = ffi.string(rule.call).decode()
        found.append(call + (f" ({condition})" if condition else ""))
    return found
