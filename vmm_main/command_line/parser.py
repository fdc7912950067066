"""Reads the command line into a VmConfig, by the tables that known_options.py names.

Options come in any order, with one dash (two are understood). The first thing that is wrong ends it, with a
text that names option, value and what is allowed.
"""

from __future__ import annotations

from vmm_main.command_line.combinations import check_combinations
from vmm_main.command_line.key_value_list import read_key_values
from vmm_main.command_line.known_options import KnownOptions
from vmm_main.errors import ConfigurationError
from vmm_main.vm_config import VmConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmm_main.command_line.option_table import Option


def parse(arguments: list[str]) -> VmConfig:
    """The configuration that the arguments (without the program's name) ask for.

    If they ask for help or the version, only_print says so and nothing else is checked.

    Raises:
        ConfigurationError: Something is wrong with them.
    """
    config = VmConfig()
    known = KnownOptions()
    given: list[tuple[Option, list[str]]] = []
    seen: set[str] = set()
    position = 0
    while position < len(arguments):
        option = _find(arguments[position], known)
        position += 1
        if option.name in seen and not option.may_repeat:
            raise ConfigurationError(f"{option.name}: given twice; allowed is once")
        seen.add(option.name)
        words = _words_of(option, arguments, position, known)
        position += len(words)
        if option.is_flag:
            option.apply(config, True)
            if config.only_print is not None:
                return config
        else:
            given.append((option, words))
    given.sort(key=lambda each: not each[0].read_first)  # stable: otherwise in the user's order
    for option, words in given:
        _apply(option, words, config)
    check_combinations(config)
    return config


def _find(argument: str, known: KnownOptions) -> Option:
    if _is_known(argument, known):
        return known[argument] if argument in known else known[argument[1:]]
    from vmm_main.command_line.error_text import nearest, shorten

    shown = shorten(argument)
    if not argument.startswith("-"):
        raise ConfigurationError(f"{shown}: no option; allowed are options and their values (see --help)")
    raise ConfigurationError(
        f"{shown}: no such option{nearest(argument, known)}; allowed are those that --help lists"
    )


def _words_of(option: Option, arguments: list[str], position: int, known: KnownOptions) -> list[str]:
    """The arguments from position on that belong to option."""
    if option.is_flag:
        return []
    end = position
    if option.takes_words:
        while end < len(arguments) and not _begins_option(arguments[end], known):
            end += 1
    elif end < len(arguments) and not _is_no_value(arguments[end], option, known):
        end += 1
    if end == position and not option.optional_value:
        raise ConfigurationError(f"{option.name}: its value is missing; allowed is {_allowed(option)}")
    return arguments[position:end]


def _is_no_value(argument: str, option: Option, known: KnownOptions) -> bool:
    """Whether argument, behind option, is the next option: a file called -m can be written ./-m."""
    return argument.startswith("-") if option.optional_value else _is_known(argument, known)


def _begins_option(argument: str, known: KnownOptions) -> bool:
    """Whether argument ends -append's words: a dash and a letter, as no kernel parameter begins."""
    return _is_known(argument, known) or (argument.startswith("-") and argument[1:2].isalpha())


def _is_known(argument: str, known: KnownOptions) -> bool:
    return argument in known or (argument.startswith("--") and argument[1:] in known)


def _apply(option: Option, words: list[str], config: VmConfig) -> None:
    text = " ".join(words)
    value: Any = True
    try:
        if option.keys:
            value = read_key_values(option, text)
        elif option.value_type is not None:
            value = _read_value(option, words, text)
        option.apply(config, value)
    except ValueError as error:
        from vmm_main.command_line.error_text import shorten

        raise ConfigurationError(f"{option.name} {shorten(text)}: {error}") from error


def _read_value(option: Option, words: list[str], text: str) -> Any:
    assert option.value_type is not None
    if option.optional_value and not words:
        return None
    try:
        return option.value_type.read(text)
    except ValueError as error:
        raise ValueError(f"{error}; allowed is {option.value_type.allowed}") from error


def _allowed(option: Option) -> str:
    if option.value_type is not None:
        return option.value_type.allowed
    return f"a list of {', '.join(f'{key}=' for key in option.keys)}"
