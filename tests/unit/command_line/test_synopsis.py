"""--help names every option and key, and fits a terminal."""

from __future__ import annotations

import re

from vmm_main.command_line.options import TABLES
from vmm_main.command_line.parser import parse
from vmm_main.command_line.synopsis import synopsis, usage


def test_every_option_alias_and_key_is_there() -> None:
    text = synopsis()
    for table in TABLES:
        assert f"\n{table.title}:\n" in text
        for option in table.options:
            shown = re.sub(r"\n {10}", "", text)
            assert f"\n  {usage(option)}\n" in shown
            for name in (option.name, *option.aliases):
                assert re.search(rf"(^| ){name}\b", usage(option))
            for key in option.keys.values():
                assert key.name in usage(option)
                assert key.help


def test_it_fits_a_terminal_and_is_plain_text() -> None:
    lines = synopsis().splitlines()
    assert max(len(line) for line in lines) <= 110
    assert all(line.isascii() and line == line.rstrip() for line in lines)


def test_the_example_is_a_command_line_that_is_taken() -> None:
    example = synopsis().split("Example:\n")[1].replace("\\\n", " ").split()
    assert example[0] == "bulkhead"
    config = parse(example[1:])
    assert config.append == "console=ttyS0 reboot=k panic=1"
    assert config.serial_chardev_id is not None
    assert config.qmp_chardev_ids


def test_what_may_be_left_out_is_in_brackets() -> None:
    usages = {option.name: usage(option) for table in TABLES for option in table.options}
    assert usages["-smp"].startswith("-smp [cpus=]N[,maxcpus=N]")
    assert usages["-D"] == "-D [FILE]"
    assert usages["-kernel"] == "-kernel FILE"
    assert usages["-add-fd"] == "-add-fd fd=N,set=N[,opaque=TEXT]"
    assert usages["-machine"].startswith("-machine, -M [type=]microvm[,accel=kvm]")
