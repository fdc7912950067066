"""What the types of values take and refuse, at both ends of every range."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm_main.command_line.value_types import (
    Boolean,
    Choice,
    Identifier,
    Integer,
    Path,
    Size,
    Text,
    Uuid,
    ValueType,
)

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
SIZE = Size(8 * KIB, 2 * TIB, 4 * KIB)
UUID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    ("value_type", "text", "value"),
    [
        (SIZE, "8K", 8 * KIB),
        (SIZE, "1", MIB),
        (SIZE, "1m", MIB),
        (SIZE, "256MiB", 256 * MIB),
        (SIZE, "256mb", 256 * MIB),
        (SIZE, "512G", 512 * GIB),
        (SIZE, "2T", 2 * TIB),
        (SIZE, "2TiB", 2 * TIB),
        (Integer(1, 254), "1", 1),
        (Integer(1, 254), "254", 254),
        (Integer(1, 254), "007", 7),
        (Boolean(), "On", True),
        (Boolean(), "true", True),
        (Boolean(), "YES", True),
        (Boolean(), "off", False),
        (Boolean(), "false", False),
        (Boolean(), "no", False),
        (Choice("MicroVm"), "microvm", "MicroVm"),
        (Text("T", 1, 3), "äöü", "äöü"),
        (Text("T", 0, 3), "", ""),
        (Path(), "/", "/"),
        (Path(), "x" * 4095, "x" * 4095),
        (Identifier(), "A-z._9", "A-z._9"),
        (Identifier(), "x" * 127, "x" * 127),
        (Uuid(), UUID.upper(), UUID),
    ],
)
def test_taken(value_type: ValueType, text: str, value: Any) -> None:
    assert value_type.read(text) == value


@pytest.mark.parametrize(
    ("value_type", "text"),
    [
        *((SIZE, text) for text in ("", "K", "4K", "9K", "2049G", "3T", "-1", "+1", "1.5G", "1e3", "0x10")),
        *((SIZE, text) for text in ("1P", "1GG", "1B", "1iB", " 1", "1 G", "1_0", "\uff11", "9" * 5000)),
        *(
            (Integer(1, 254), text)
            for text in ("0", "255", "", "-1", "+1", "1.0", "1_0", "\u0663", "9" * 5000)
        ),
        *((Boolean(), text) for text in ("", "1", "0", "onn", "ja")),
        *((Choice("a", "b"), text) for text in ("", "c", "ab", "a ")),
        *((Text("T", 1, 3), text) for text in ("", "abcd")),
        *((Path(), text) for text in ("", "x" * 4096, "ä" * 2048, "a\0b")),
        *((Identifier(), text) for text in ("", "x" * 128, "a b", "a/b", "ä", "a\n")),
        *((Uuid(), text) for text in ("", UUID[:-1], UUID + "0", UUID.replace("-", ""), "g" + UUID[1:])),
        (Uuid(), "-".join(["01234567", "89ab", "cdef", "0123", "456789abcde\u0663"])),
    ],
)
def test_refused(value_type: ValueType, text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        value_type.read(text)


@given(st.integers(2, 1 << 29))
def test_sizes_round_trip(pages: int) -> None:
    size = pages * 4 * KIB
    assert SIZE.read(f"{size // KIB}K") == size
    for unit, scale in (("M", MIB), ("G", GIB), ("T", TIB)):
        if size % scale == 0:
            assert SIZE.read(f"{size // scale}{unit.lower()}") == size


@given(st.integers())
def test_integers_in_range_and_no_others(number: int) -> None:
    if 1 <= number <= 254:
        assert Integer(1, 254).read(str(number)) == number
    else:
        with pytest.raises(ValueError, match=r"\w"):
            Integer(1, 254).read(str(number))


def test_each_type_says_what_it_allows() -> None:
    assert SIZE.allowed.startswith("8 KiB to 2 TiB")
    assert Integer(1, 254).allowed == "a whole number from 1 to 254"
    assert Choice("a", "b", "c").allowed == "a, b or c"
    assert Text("NAME", 1, 255).allowed == "1 to 255 characters"
