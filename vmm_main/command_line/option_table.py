"""What an option is: one declaration that parsing, --help, errors and docs/options.md all come from.

An option's argument is one of: nothing (a flag), one value of a type, a list of `key=value`, all the words up
to the next option (-append), or a value that may be missing (-D).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vmm_main.command_line.value_types import ValueType
    from vmm_main.vm_config import VmConfig

    # Puts what was read into the configuration: a flag's True, a value, or the values by key (those given).
    # Raises ValueError with what is wrong; the parser puts the option and its argument before it.
    Apply = Callable[[VmConfig, Any], None]


class Key:
    """One key of a list, e.g. `path` of -chardev."""

    __slots__ = ("help", "name", "required", "value_type")

    def __init__(self, name: str, value_type: ValueType, help_text: str, *, required: bool = False) -> None:
        self.name = name
        self.value_type = value_type
        self.help = help_text
        self.required = required


class Variants:
    """Further keys of a list that depend on its first key's value, as -device's do on the kind of device."""

    __slots__ = ()

    def keys_of(self, name: str) -> dict[str, Key]:
        """The further keys of a list that begins with name.

        Raises:
            ValueError: There is no such variant; the message says which there are.
        """
        raise NotImplementedError

    def explain_unknown(self, key: str) -> str:
        """Why a key that users may expect isn't there, or ""."""
        raise NotImplementedError

    def all(self) -> list[tuple[str, str, dict[str, Key]]]:
        """Every variant: its name, what it is, its further keys. For --help and the reference."""
        raise NotImplementedError


class Option:
    """One option.

    Attributes:
        name: With its dash.
        aliases: Other spellings.
        help: What it does: a sentence or a few.
        apply: Puts its value into the configuration.
        value_type: Of its one value; None for flags and lists.
        keys: Of its list, in the order of the synopsis.
        first_key: The key that a list's first item may leave out, or None.
        may_repeat: Whether it may be given more than once.
        optional_value: Whether its value may be missing (it is None then).
        takes_words: Whether its value is all the words up to the next option.
        variants: Further keys that depend on the first key's value; None for most.
        read_first: Whether it is applied before the others, wherever it stands: its names are taken then.
    """

    __slots__ = ("aliases", "apply", "first_key", "help", "keys", "may_repeat", "name", "optional_value",
                 "read_first", "takes_words", "value_type", "variants")  # fmt: skip

    def __init__(
        self,
        name: str,
        help_text: str,
        apply: Apply,
        *keys: Key,
        value: ValueType | None = None,
        aliases: tuple[str, ...] = (),
        first_key: str | None = None,
        may_repeat: bool = False,
        optional_value: bool = False,
        takes_words: bool = False,
        read_first: bool = False,
        variants: Variants | None = None,
    ) -> None:
        self.name = name
        self.help = help_text
        self.apply = apply
        self.keys = {key.name: key for key in keys}
        self.value_type = value
        self.aliases = aliases
        self.first_key = first_key
        self.may_repeat = may_repeat
        self.optional_value = optional_value
        self.takes_words = takes_words
        self.read_first = read_first
        self.variants = variants

    @property
    def is_flag(self) -> bool:
        """Whether it takes no argument."""
        return self.value_type is None and not self.keys


class OptionTable:
    """The options of one subject."""

    __slots__ = ("options", "title")

    def __init__(self, title: str, *options: Option) -> None:
        self.title = title
        self.options = options
