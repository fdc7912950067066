"""Which module's table holds an option: the list against the tables themselves."""

from __future__ import annotations

import pytest

from vmm_main.command_line import options
from vmm_main.command_line.known_options import NAMES, KnownOptions

OPTIONS = {
    name: option
    for table in options.TABLES
    for option in table.options
    for name in (option.name, *option.aliases)
}


def test_the_names_are_those_of_the_tables() -> None:
    listed = {f"vmm_main.command_line.{module}": names.split() for module, names in NAMES.items()}
    tables = {value.__name__: value.TABLE for value in vars(options).values() if hasattr(value, "TABLE")}
    assert {id(tables[module]) for module in listed} == {id(table) for table in options.TABLES}
    for module, names in listed.items():
        assert names == [name for option in tables[module].options for name in (option.name, *option.aliases)]


def test_each_name_gives_its_option() -> None:
    known = KnownOptions()
    assert {name: known[name] for name in known} == OPTIONS


def test_what_is_no_option_is_not_known() -> None:
    known = KnownOptions()
    assert "-zzz" not in known
    with pytest.raises(KeyError):
        known["-zzz"]
