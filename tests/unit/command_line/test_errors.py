"""Every error is one line that names the option, the value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from vmm_main.command_line.known_options import KnownOptions
from vmm_main.command_line.option_table import Option
from vmm_main.command_line.options import TABLES
from vmm_main.command_line.parser import parse
from vmm_main.command_line.value_types import Boolean, ValueType
from vmm_main.errors import BulkheadError, ConfigurationError

MINIMUM = ["-kernel", "vmlinux"]
OPTIONS = [option for table in TABLES for option in table.options]
TOO_LONG = ("x" * 5000, "x" * ((1 << 20) + 1))


def error_of(*arguments: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(list(arguments))
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 1200
    return text


def bad_value(value_type: ValueType) -> str:
    """A text that this type refuses."""
    for text in ("no such thing!", *TOO_LONG):
        try:
            value_type.read(text)
        except ValueError:
            return text
    raise AssertionError(f"{value_type.placeholder} takes everything")


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if option.value_type], ids=lambda each: each.name
)
def test_every_options_value(option: Option) -> None:
    assert option.value_type is not None
    value = bad_value(option.value_type)
    text = error_of(*MINIMUM, option.name, value) if option.name != "-kernel" else error_of("-kernel", value)
    assert text.startswith(f"{option.name} {value[:200]}")
    assert text.endswith(f"; allowed is {option.value_type.allowed}")


def variants_of(option: Option) -> Any:
    """What gives an option further keys by its first one, or None."""
    return getattr(option, "variants", None)


def good_value(option: Option, key: str) -> str:
    """A text that this key takes."""
    if variants_of(option) is not None and key == option.first_key:
        return str(variants_of(option).all()[0][0])
    for text in (
        "4",
        "on",
        "microvm",
        "kvm",
        "utc",
        "host",
        "none",
        "pty",
        "raw",
        "control",
        "restart",
        "stop",
    ):
        try:
            option.keys[key].value_type.read(text)
        except ValueError:
            continue
        return text
    raise AssertionError(f"no value for {option.name} {key}=")


@pytest.mark.parametrize(
    ("option", "key"),
    [(option, key) for option in OPTIONS for key in option.keys],
    ids=lambda each: getattr(each, "name", each),
)
def test_every_key(option: Option, key: str) -> None:
    value_type = option.keys[key].value_type
    value = bad_value(value_type)
    text = error_of(*MINIMUM, option.name, f"{key}={value}")
    assert text.startswith(f"{option.name} {key}={value[:150]}")
    assert f"{key}={value[:150]}" in text.split(": ", 1)[1]
    assert "; allowed is " in text
    if variants_of(option) is None:
        assert text.endswith(f"; allowed is {value_type.allowed}")

    if key == option.first_key:
        return
    # Behind a first item, since a first one without "=" is the first key's value.
    first = next(name for name in option.keys if name != key)
    items = f"{first}={good_value(option, first)}"
    assert f"no key {key}x (did you mean '{key}'" in error_of(*MINIMUM, option.name, f"{items},{key}x=1")
    assert f"key {key!r} is given twice" in error_of(
        *MINIMUM, option.name, f"{key}={good_value(option, key)}," * 2
    )
    if not isinstance(value_type, Boolean):
        text = error_of(*MINIMUM, option.name, f"{items},{key}")
        assert f"key {key!r} has no value; allowed is {key}= with {value_type.allowed}" in text


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.keys], ids=lambda each: each.name)
def test_every_required_key(option: Option) -> None:
    text = error_of(*MINIMUM, option.name, "{}") if any(key.required for key in option.keys.values()) else ""
    for key in option.keys.values():
        if key.required:
            assert text == f"{option.name} {{}}: {key.name}= is missing; allowed is {key.value_type.allowed}"
            return
    assert option.name in ("-machine", "-rtc")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda each: each.name)
def test_every_misspelt_option_is_recognised(option: Option) -> None:
    if len(option.name) >= 4:
        text = error_of(*MINIMUM, option.name[:-1] + "_")
        assert text.startswith(option.name[:-1] + "_: no such option")
        assert "did you mean '-" in text
    assert "allowed are those that --help lists" in error_of("-zzzzzz")


@pytest.mark.parametrize(
    "name", [name for name in KnownOptions() if not KnownOptions()[name].may_repeat and name[1] != "-"]
)
def test_given_twice(name: str) -> None:
    option = KnownOptions()[name]
    if option.name in ("-help", "-version"):
        return
    words = [name] if option.is_flag else [name, "x"]
    assert error_of(*words, *words) == f"{option.name}: given twice; allowed is once"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["-kernel", "missing"]),
        (["x"], ["x: no option", "allowed are options"]),
        (["-kernel", "k", "x"], ["x: no option"]),
        ([""], ["'': no option"]),
        ([*MINIMUM, "-pidfile", "/p"], ["-pidfile /p", "allowed only together with -daemonize"]),
        ([*MINIMUM, "-smp", "0"], ["-smp 0", "cpus=0", "1 to 254"]),
        ([*MINIMUM, "-smp", "2,maxcpus=4"], ["-smp 2,maxcpus=4", "maxcpus=4", "allowed is 2"]),
        ([*MINIMUM, "-smp", "4,cores=2"], ["-smp 4,cores=2", "2 CPUs", "allowed is 4"]),
        ([*MINIMUM, "-name", ""], ["-name ''", "1 to 255 characters"]),
        ([*MINIMUM, "-machine", "q35"], ["-machine q35", "type=q35", "allowed is microvm"]),
        ([*MINIMUM, "-machine", "microvm,accel=tcg"], ["accel=tcg", "allowed is kvm"]),
        ([*MINIMUM, "-serial", "null"], ["-serial null", "allowed are chardev:ID, stdio, pty, socket, file"]),
        ([*MINIMUM, "-serial", "chardev:a b"], ["-serial chardev:a b", "allowed behind chardev:"]),
        ([*MINIMUM, "-serial", "chardev:a,path=/x"], ["-serial chardev:a", "allowed is chardev:ID alone"]),
        ([*MINIMUM, "-serial", "none,server"], ["-serial none,server", "allowed is none alone"]),
        ([*MINIMUM, "-serial", "file"], ["-serial file", "path= is missing"]),
        ([*MINIMUM, "-serial", "file:"], ["-serial file:", "empty", "allowed behind file:"]),
        ([*MINIMUM, "-serial", "pty,path=/x"], ["-serial pty,path=/x", "path", "allowed is pty without it"]),
        ([*MINIMUM, "-serial", "chardev:a"], ["-serial chardev:a", "allowed is a -chardev's id"]),
        ([*MINIMUM, "-mon", "a,mode=control"], ["-mon chardev=a", "allowed is a -chardev's id"]),
        ([*MINIMUM, "-qmp", "tcp:1"], ["-qmp tcp:1", "allowed are unix:PATH,server,nowait"]),
        ([*MINIMUM, "-qmp", "unix:,server"], ["-qmp unix:,server", "empty", "allowed behind unix:"]),
        ([*MINIMUM, "-qmp", "unix:/x,nowait"], ["-qmp unix:/x,nowait", "server is missing"]),
        ([*MINIMUM, "-qmp", "stdio,server"], ["-qmp stdio,server", "server", "allowed is stdio without it"]),
        ([*MINIMUM, "-chardev", "socket,id=a"], ["-chardev socket,id=a", "path= is missing", "or fd="]),
        ([*MINIMUM, "-chardev", "socket,id=a,path=/x,nowait"], ["nowait", "allowed is server,nowait"]),
        ([*MINIMUM, "-chardev", "socket,id=a,path=/x,fd=3,server"], ["path= and fd="]),
        ([*MINIMUM, "-chardev", "socket,id=a,fd=3"], ["fd=3", "with server"]),
        ([*MINIMUM, "-chardev", "socket,id=a,path=/x,server,wait,nowait"], ["contradict"]),
        (
            [*MINIMUM, "-chardev", "pty,id=a", "-chardev", "stdio,id=a"],
            ["id=a", "allowed is one that is free"],
        ),
        ([*MINIMUM, "-serial", "stdio", "-qmp", "stdio"], ["-serial stdio and -qmp stdio", "allowed is one"]),
        (
            [*MINIMUM, "-serial", "stdio", "-daemonize"],
            ["-daemonize", "-serial stdio", "pty, socket and file"],
        ),
        (
            [*MINIMUM, "-chardev", "pty,id=a", "-serial", "chardev:a", "-mon", "a,mode=control"],
            ["-mon chardev=a", "taken by -serial chardev:a", "allowed is one user each"],
        ),
        (
            [*MINIMUM, "-chardev", "pty,id=a", "-qmp", "chardev:a", "-mon", "a,mode=control"],
            ["-mon", "chardev a has a QMP server already"],
        ),
        ([*MINIMUM, "-add-fd", "fd=1"], ["-add-fd fd=1", "set= is missing"]),
    ],
)
def test_what_excludes_or_needs_what(arguments: list[str], parts: list[str]) -> None:
    text = error_of(*arguments)
    for part in parts:
        assert part in text


def test_an_errors_text_is_always_one_printable_line() -> None:
    assert str(BulkheadError("-name a\nb\x1b[2J\udcff: ä")) == r"-name a\nb\x1b[2J\udcff: ä"
