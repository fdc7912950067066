"""Which module's table holds an option: a start imports only the tables of the options that it is given.

All tables would cost 0.4 ms of every start (docs/decisions/0004). A test compares the names with the tables'.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmm_main.command_line.option_table import Option

NAMES = {
    "machine_options": "-name -uuid -machine -M -smp -m -kernel -initrd -append -rtc "
    "-S -no-reboot -no-shutdown",
    "channel_options": "-serial -chardev -qmp -mon -add-fd",
    "device_options": "-device -drive -object",
    "process_options": "-D -daemonize -pidfile -uid-base -disable-seccomp -help -h --help -version --version",
    "accepted_options": "-boot -display -msg -no-user-config -nodefaults -nographic -overcommit -realtime "
    "-sandbox -usb",
}


class KnownOptions:
    """Every option under its name and its aliases, like a dictionary; taking one imports its table."""

    __slots__ = ("_module_of",)

    def __init__(self) -> None:
        self._module_of = {name: module for module, names in NAMES.items() for name in names.split()}

    def __contains__(self, name: str) -> bool:
        """Whether there is such an option."""
        return name in self._module_of

    def __iter__(self) -> Iterator[str]:
        """All names and aliases."""
        return iter(self._module_of)

    def __getitem__(self, name: str) -> Option:
        """The option.

        Raises:
            KeyError: There is none of that name.
        """
        module = f"vmm_main.command_line.{self._module_of[name]}"
        __import__(module)
        for option in sys.modules[module].TABLE.options:
            if name == option.name or name in option.aliases:
                found: Option = option
                return found
        raise KeyError(name)
