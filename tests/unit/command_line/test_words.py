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


def test_what_is_like_no_option_gets_no_suggestion() -> None:
    with pytest.raises(ConfigurationError, match=r"^-bogus: no such option; allowed are those"):
        parse([*MINIMUM, "-bogus"])


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-qmp", "unix:aa,server", "-qmp", "unix:aa,server"],
            "-qmp unix:aa: -qmp unix:aa has the same path; allowed is a path for each",
        ),
        (
            ["-D", "log", "-serial", "file,path=./log"],
            "-serial file,path=./log: -D log has the same path; allowed is a path for each",
        ),
        (
            ["-daemonize", "-pidfile", "x", "-D", "x"],
            "-pidfile x: -D x has the same path; allowed is a path for each",
        ),
        (
            ["-chardev", "socket,id=c,path=/s,server", "-qmp", "unix:/s,server,nowait"],
            "-qmp unix:/s: -chardev socket,id=c,path=/s has the same path; allowed is a path for each",
        ),
    ],
)
def test_what_the_vm_makes_has_a_path_each(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse([*MINIMUM, *arguments])
    assert str(refused.value) == message


def test_devices_and_what_isnt_made_may_be_named_twice() -> None:
    both = ["-chardev", "file,id=a,path=/dev/fdset/1", "-chardev", "file,id=b,path=/dev/fdset/1"]
    parse([*MINIMUM, "-D", "/dev/null", *both])
    parse([*MINIMUM, "-D", "log", "-chardev", "socket,id=c,path=log"])
