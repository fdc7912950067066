"""All options, by subject. A new table is one module here and one line below."""

from __future__ import annotations

from vmm_main.command_line import (
    accepted_options,
    channel_options,
    device_options,
    machine_options,
    process_options,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.command_line.option_table import Option

TABLES = (
    machine_options.TABLE,
    channel_options.TABLE,
    device_options.TABLE,
    process_options.TABLE,
    accepted_options.TABLE,
)


def options_by_name() -> dict[str, Option]:
    """Every option under its name and its aliases."""
    found = {}
    for table in TABLES:
        for option in table.options:
            for name in (option.name, *option.aliases):
                found[name] = option
    return found
