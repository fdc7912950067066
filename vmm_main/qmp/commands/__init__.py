"""The tables of QMP commands and events, by subject. A new table is one module here and one line below."""

from __future__ import annotations

from vmm_main.qmp.commands import (
    block,
    descriptors,
    device_processes,
    entitlements,
    inventory,
    protocol,
    vm_state,
)

TABLES = (
    protocol.TABLE,
    vm_state.TABLE,
    inventory.TABLE,
    block.TABLE,
    device_processes.TABLE,
    entitlements.TABLE,
    descriptors.TABLE,
)
