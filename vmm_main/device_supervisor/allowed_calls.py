"""What the filters of a device's threads allow, for people: read from the profiles that were compiled in."""

from __future__ import annotations

from device_procs.device_registry import KINDS
from vmm_main.kvm._kvm import ffi, lib


def allowed_calls(kind: str) -> list[str]:
    """Every rule of a kind's control and worker thread, as "thread: call (condition)"."""
    _, folder = KINDS[kind]
    found = []
    for thread in ("control", "worker"):
        rules = ffi.new("const struct filter_rule **")
        count = lib.filters_rules(f"{folder}_{thread}".encode(), rules)
        for index in range(max(count, 0)):
            rule = rules[0][index]
            condition = ffi.string(rule.condition).decode()
            call = ffi.string(rule.call).decode()
            found.append(f"{thread}: {call}" + (f" ({condition})" if condition else ""))
    return found
