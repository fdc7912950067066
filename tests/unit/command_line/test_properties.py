"""Any list of strings is a configuration or one printable line: nothing else, and no other exception."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from vmm_main.command_line.known_options import KnownOptions
from vmm_main.command_line.options import TABLES
from vmm_main.command_line.parser import parse
from vmm_main.errors import ConfigurationError
from vmm_main.vm_config import VmConfig

OPTIONS = [option for table in TABLES for option in table.options]
KEYS = sorted({key for option in OPTIONS for key in option.keys})
PIECES = [
    "4",
    "on",
    "off",
    "stdio",
    "pty",
    "socket",
    "file",
    "unix:/s",
    "chardev:a",
    "microvm",
    "1G",
    "a",
    "{}",
]
# What a program's arguments can hold: any character but NUL, and surrogates for bytes that aren't UTF-8.
ANYTHING = st.text(st.characters(exclude_characters="\0"), max_size=40)


@st.composite
def plausible_lists(draw: st.DrawFn) -> str:
    items = draw(
        st.lists(
            st.one_of(
                st.sampled_from(PIECES),
                st.sampled_from(KEYS),
                st.builds("{}={}".format, st.sampled_from(KEYS), st.sampled_from(PIECES) | ANYTHING),
            ),
            max_size=5,
        )
    )
    return draw(st.sampled_from([",", ",,"])).join(items)


ARGUMENTS = st.lists(
    st.one_of(st.sampled_from(sorted(KnownOptions())), plausible_lists(), st.sampled_from(PIECES), ANYTHING),
    max_size=12,
)


@given(ARGUMENTS, st.booleans())
@example(["-name", "a\nb"], True)
@example(["-m", "\uff19"], True)
@example(["-smp", "9" * 5000], True)
@example(["-chardev", '{"backend": "pty", "id": "\\ud800"}'], True)
@example(["-m", '{"size": ' + "9" * 5000 + "}"], True)
def test_a_configuration_or_one_line(arguments: list[str], with_kernel: bool) -> None:
    if with_kernel:
        arguments = ["-kernel", "vmlinux", *arguments]
    try:
        config = parse(arguments)
    except ConfigurationError as error:
        text = str(error)
        assert text.isprintable()
        assert 0 < len(text) < 2000
    else:
        check(config)


def check(config: VmConfig) -> None:
    """What main relies on in every configuration."""
    if config.only_print is not None:
        return
    assert config.kernel_path
    assert 1 <= config.cpus <= 254
    assert 256 << 20 <= config.memory_bytes <= 512 << 30
    assert config.name is None or 1 <= len(config.name) <= 255
    assert config.pidfile_path is None or config.daemonize
    ids = [chardev.chardev_id for chardev in config.chardevs]
    assert len(set(ids)) == len(ids)
    users = [*config.qmp_chardev_ids, *filter(None, [config.serial_chardev_id])]
    assert len(set(users)) == len(users)
    assert set(users) <= set(ids)
    for chardev in config.chardevs:
        assert (chardev.path is None) == (chardev.backend in ("stdio", "pty") or chardev.fd is not None)
        assert chardev.backend != "stdio" or not config.daemonize


@given(st.lists(st.text("abc=/.,-_ 0", min_size=1).filter(lambda word: not word.startswith("-"))))
def test_appends_words_come_out_as_they_went_in(words: list[str]) -> None:
    if words:
        assert parse(["-append", *words, "-kernel", "k"]).append == " ".join(words)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=255))
def test_any_name_can_be_given(name: str) -> None:
    escaped = name.replace(",", ",,")
    assert parse(["-kernel", "k", "-name", f"guest={escaped}"]).name == name
