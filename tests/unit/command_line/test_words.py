"""Where an option's value ends: -append takes words, -D may have none, the others have one."""

from __future__ import annotations

import pytest

from vmm_main.command_line.parser import parse
from vmm_main.errors import ConfigurationError

MINIMUM = ["-kernel", "vmlinux"]


@pytest.mark.parametrize(
    ("arguments", "append"),
    [
        (["-append", "console=ttyS0 root=/dev/vda rw reboot=k panic=1"], None),
        (["-append", "console=ttyS0", "root=/dev/vda", "rw", "reboot=k", "panic=1"], None),
        (["-append", "console=ttyS0 root=/dev/vda", "rw", "reboot=k panic=1"], None),
        (["-append", "console=ttyS0 root=/dev/vda rw reboot=k panic=1", "-m", "1G"], None),
        (["-append", "console=ttyS0", "root=/dev/vda", "rw", "reboot=k", "panic=1", "-m", "1G"], None),
        (["-append", "console=ttyS0", "root=/dev/vda", "rw", "reboot=k", "panic=1", "--m", "1G"], None),
        (["-append", ""], ""),
        (["-append", "a", "--", "single"], "a -- single"),
        (["-append", "a", "-1"], "a -1"),
        (["-append", "init=/bin/sh -c x"], "init=/bin/sh -c x"),
        (["-append", "{}"], "{}"),
        (["-append", "a,b=c,,d"], "a,b=c,,d"),
    ],
)
def test_append_takes_all_words_quoted_or_not(arguments: list[str], append: str | None) -> None:
    expected = "console=ttyS0 root=/dev/vda rw reboot=k panic=1" if append is None else append
    assert parse([*MINIMUM, *arguments]).append == expected
    assert parse([*arguments, *MINIMUM]).append == expected


def test_append_ends_before_a_misspelt_option() -> None:
    with pytest.raises(ConfigurationError, match=r"^-qpm: no such option \(did you mean '-qmp'\?\)"):
        parse([*MINIMUM, "-append", "rw", "-qpm", "unix:/s,server"])


@pytest.mark.parametrize("following", [[], ["-S"], ["--S"], ["-m", "1G"]])
def test_d_needs_no_value(following: list[str]) -> None:
    config = parse([*MINIMUM, "-D", *following])
    assert (config.log_path, config.log_to_stderr) == (None, True)


def test_d_takes_the_word_behind_it() -> None:
    config = parse(["-D", "/log", *MINIMUM])
    assert (config.log_path, config.log_to_stderr) == ("/log", False)


@pytest.mark.parametrize("option", ["-kernel", "-m", "-name", "-serial", "-append", "-pidfile", "-chardev"])
def test_the_next_option_is_no_value(option: str) -> None:
    for following in ([], ["-S"], ["--S"]):
        with pytest.raises(ConfigurationError, match=f"^{option}: its value is missing; allowed is "):
            parse([option, *following])


def test_a_file_may_have_an_odd_name() -> None:
    for name in ("-", "-x", "{", "a=b", "a,b", "ä", " ", "\udcff"):
        assert parse(["-kernel", name]).kernel_path == name


def test_two_dashes_are_understood() -> None:
    config = parse(["--kernel", "k", "--m", "1G", "--S"])
    assert (config.kernel_path, config.memory_bytes, config.start_paused) == ("k", 1 << 30, True)
