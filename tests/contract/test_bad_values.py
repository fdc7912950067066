"""A value that isn't allowed, of any option, ends the start with one line and nothing left behind."""

from __future__ import annotations

import pytest

from tests.contract.bench import Bench
from tests.contract.guest_code import SPIN
from vmm_main.command_line.option_table import Option
from vmm_main.command_line.options import TABLES
from vmm_main.command_line.value_types import ValueType

pytestmark = pytest.mark.timeout(180)

OPTIONS = [option for table in TABLES for option in table.options if not option.is_flag]
KEYS = [(option, key) for option in OPTIONS for key in option.keys]


def refused_by(value_type: ValueType) -> str:
    """A text that this type doesn't take."""
    for text in ("no such thing!", "x" * 5000):
        try:
            value_type.read(text)
        except ValueError:
            return text
    raise AssertionError(f"{value_type.placeholder} takes everything")


def own_sockets(bench: Bench, option: Option) -> list[str]:
    """Something that a start would leave behind if it got that far, unless it is in the option's way."""
    if option.name in ("-qmp", "-kernel", "-pidfile", "-daemonize"):
        return []
    return [
        "-daemonize",
        "-pidfile",
        f"{bench.directory}/pid",
        "-qmp",
        f"unix:{bench.directory}/q,server,nowait",
    ]


@pytest.mark.parametrize(
    "option",
    [option for option in OPTIONS if option.value_type is not None and option.name != "-append"],
    ids=lambda option: option.name,
)
def test_options_with_one_value(bench: Bench, option: Option) -> None:
    assert option.value_type is not None
    value = refused_by(option.value_type)
    guest = [] if option.name == "-kernel" else bench.guest(SPIN)
    bench.expect_refusal(
        *guest, *own_sockets(bench, option), option.name, value, option=option.name, value=value[:200]
    )


@pytest.mark.parametrize(("option", "key"), KEYS, ids=lambda each: getattr(each, "name", each))
def test_keys(bench: Bench, option: Option, key: str) -> None:
    value = f"{key}={refused_by(option.keys[key].value_type)}"
    bench.expect_refusal(
        *bench.guest(SPIN),
        *own_sockets(bench, option),
        option.name,
        value,
        option=option.name,
        value=value[:200],
    )


@pytest.mark.parametrize("length", [2048, 65536])
def test_a_command_line_that_linux_would_cut_off(bench: Bench, length: int) -> None:
    value = "x" * length
    line = bench.expect_refusal(*bench.guest(SPIN), "-append", value, option="-append:", value=str(length))
    assert "0 to 2047" in line
    assert bench.booted("-append", "x" * 2047).command_line == "x" * 2047


@pytest.mark.parametrize("argument", ["-bogus", "--bogus", "bogus", "", "-", "-smp4", "-m=4"])
def test_what_is_no_option(bench: Bench, argument: str) -> None:
    line = bench.refusal(*bench.guest(SPIN), argument)
    assert line.startswith(f"bulkhead: {argument or repr('')}: no")
    assert "allowed are" in line


def test_bytes_that_are_no_text(bench: Bench) -> None:
    """Arguments are bytes: what isn't UTF-8 is shown escaped, and can be a file's name."""
    name = "\udcff\udcfe"
    line = bench.expect_refusal(
        "-kernel", f"{bench.directory}/{name}", option="-kernel", value=r"\udcff\udcfe"
    )
    assert "No such file" in line
    kernel = bench.guest(SPIN)[1]
    (bench.directory / name).symlink_to(kernel)
    with bench.running("-kernel", name, "-qmp", "stdio") as process:
        assert process.stdout is not None
        assert b'"QMP"' in process.stdout.readline()


def test_a_warning_is_no_second_line(bench: Bench) -> None:
    """What a VM that runs would say isn't said when there will be none."""
    said_later = ["-disable-seccomp", "-serial", "pty"]
    bench.expect_refusal("-kernel", "/dev/null", *said_later, option="-kernel", value="/dev/null")
