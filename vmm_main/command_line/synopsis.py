"""What --help prints: the options as a manual page has them, from the tables."""

from __future__ import annotations

import textwrap

from vmm_main.command_line.options import TABLES
from vmm_main.command_line.value_types import Boolean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.command_line.option_table import Key, Option

_WIDTH = 100
_HEAD = """\
Usage: bulkhead -kernel FILE [-initrd FILE] [-append WORD...] [OPTION...]

Runs a virtual machine on KVM. Options take one dash and come in any order; lists are key=value with commas
between, ",," for a comma in a value, or a JSON object.
"""
_TAIL = """\
Exit status: 0 the VM ended as asked (power-off, QMP's quit, SIGTERM, SIGINT, SIGHUP, also while it still
waits for a client); 1 it could not be started or could not go on, with one line on standard error; 159 a
filter refused it a system call, which is a fault in Bulkhead; as every program's, 128 + N where signal N
killed it, such as 137 for SIGKILL. SIGQUIT writes all threads' stacks to the log.

Example:
    bulkhead -kernel vmlinuz -initrd initrd -append console=ttyS0 reboot=k panic=1 -m 1G -smp 2 \\
        -qmp unix:/run/vm.sock,server,nowait -serial stdio
"""


def synopsis() -> str:
    """The whole text."""
    parts = [_HEAD]
    for table in TABLES:
        lines = [f"{table.title}:"]
        for option in table.options:
            lines += _wrapped_usage(usage(option))
            lines += _wrapped(option.help, 6, 6)
            for name, help_text, keys in option.variants.all() if option.variants is not None else ():
                items = "".join(_key_usage(key, option) for key in keys.values())
                lines += [f"  {line}" for line in _wrapped_usage(f"  {option.name} {name}{items}")]
                lines += _wrapped(help_text, 10, 10)
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, _TAIL.rstrip("\n")])


def usage(option: Option) -> str:
    """An option with its argument, e.g. "-smp [cpus=]N[,maxcpus=N]"."""
    names = ", ".join((option.name, *option.aliases))
    if option.value_type is not None:
        placeholder = option.value_type.placeholder
        return f"{names} [{placeholder}]" if option.optional_value else f"{names} {placeholder}"
    if not option.keys:
        return names
    items = [_key_usage(key, option) for key in option.keys.values()]
    first = items[0][1:-1].lstrip(",") if items[0].startswith("[,") else items[0].lstrip(",")
    return f"{names} {first}{''.join(items[1:])}"


def _key_usage(key: Key, option: Option) -> str:
    value = key.value_type.placeholder
    if key.name == option.first_key:
        item = f",[{key.name}=]{value}"
    elif isinstance(key.value_type, Boolean):
        item = f",{key.name}[={value}]"
    else:
        item = f",{key.name}={value}"
    return item if key.required else f"[{item}]"


def _wrapped_usage(text: str) -> list[str]:
    """Breaks a usage where a list's items begin, so that none is torn."""
    lines = [f"  {text}"]
    while len(lines[-1]) > _WIDTH:
        cut = max(lines[-1].rfind("[,", 11, _WIDTH), lines[-1].rfind("|", 11, _WIDTH - 1) + 1)
        if cut <= 11:
            break
        lines[-1:] = [lines[-1][:cut], f"          {lines[-1][cut:]}"]
    return lines


def _wrapped(text: str, indent: int, later: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * later,
        break_long_words=False,
        break_on_hyphens=False,
    )
