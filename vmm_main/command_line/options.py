"""All options, by subject. A new table is a module here, a line below, and its names in known_options.py."""

from __future__ import annotations

from vmm_main.command_line import (
    accepted_options,
    channel_options,
    device_options,
    machine_options,
    process_options,
)

TABLES = (
    machine_options.TABLE,
    channel_options.TABLE,
    device_options.TABLE,
    process_options.TABLE,
    accepted_options.TABLE,
)
