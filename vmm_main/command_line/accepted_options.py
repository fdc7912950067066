"""Options that libvirt, Kata Containers and other controllers always pass, and that change nothing here.

They are taken so that those controllers work, and the log says once that they had no effect. What would make
a difference that a user relies on isn't in here.
"""

from __future__ import annotations

from vmm_main.command_line.option_table import Option, OptionTable
from vmm_main.command_line.value_types import Choice, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.command_line.value_types import ValueType
    from vmm_main.vm_config import VmConfig

_VALUE_MAX_CHARACTERS = 4096


def _accepted(name: str, reason: str, value: ValueType | None = None) -> Option:
    def apply(config: VmConfig, given: object) -> None:
        config.no_effect.append(name if given is True else f"{name} {given}")

    return Option(name, f"No effect: {reason}", apply, value=value, may_repeat=True)


_ANY = Text("VALUE", 1, _VALUE_MAX_CHARACTERS)

TABLE = OptionTable(
    "Accepted for compatibility",
    _accepted("-boot", "there is no firmware that would choose.", _ANY),
    _accepted("-display", "there is no display.", Choice("none")),
    _accepted("-msg", "the log's lines always have their time.", _ANY),
    _accepted("-no-user-config", "there are no configuration files."),
    _accepted("-nodefaults", "there are no default devices."),
    _accepted("-nographic", "there is no display."),
    _accepted("-overcommit", "memory is neither locked nor reserved.", _ANY),
    _accepted("-realtime", "memory isn't locked.", _ANY),
    _accepted("-sandbox", "the processes are always confined; see -disable-seccomp.", _ANY),
    _accepted("-usb", "there is no USB."),
)
