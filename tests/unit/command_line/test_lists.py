"""The grammar of key=value lists: first keys, commas, JSON, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm_main.command_line.key_value_list import read_key_values, split_items
from vmm_main.command_line.option_table import Key, Option
from vmm_main.command_line.value_types import Boolean, Choice, Integer, Text

OPTION = Option(
    "-x",
    "An option of the tests.",
    lambda config, value: None,
    Key("kind", Choice("Cat", "dog"), "", required=True),
    Key("name", Text("NAME", 0, 1000), ""),
    Key("count", Integer(0, 9), ""),
    Key("loud", Boolean(), ""),
    first_key="kind",
)
ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("cat", {"kind": "Cat"}),
        ("kind=DOG", {"kind": "dog"}),
        ("name=a,kind=dog", {"name": "a", "kind": "dog"}),
        ("dog,", {"kind": "dog"}),
        ("dog,name=a,,b", {"kind": "dog", "name": "a,b"}),
        ("dog,name=a,,", {"kind": "dog", "name": "a,"}),
        ("dog,name=a,,,", {"kind": "dog", "name": "a,"}),
        ("dog,name=a,,,count=1", {"kind": "dog", "name": "a,", "count": 1}),
        ("dog,name=", {"kind": "dog", "name": ""}),
        ("dog,name=a=b", {"kind": "dog", "name": "a=b"}),
        ("dog,loud", {"kind": "dog", "loud": True}),
        ("dog,loud=no", {"kind": "dog", "loud": False}),
    ],
)
def test_lists(argument: str, expected: dict[str, Any]) -> None:
    assert read_key_values(OPTION, argument) == expected


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "kind=''.*allowed is Cat or dog"),
        ("dog,,", "kind=dog,: unknown; allowed is Cat or dog"),
        ("dog,nmae=a", r"no key nmae \(did you mean 'name'\?\); allowed are kind, name, count, loud"),
        ("dog,name=a,name=b", "'name' is given twice; allowed is once"),
        ("dog,kind=cat", "'kind' is given twice"),
        ("dog,count", "'count' has no value; allowed is count= with a whole number from 0 to 9"),
        ("dog,count=10", "count=10: out of range; allowed is a whole number from 0 to 9"),
        ("dog,count=-1", "count=-1: out of range"),
        ("name=a", "kind= is missing; allowed is Cat or dog"),
        ("dog, loud", "no key  loud"),
        (",dog", "kind=''"),
        ("{", "damaged JSON.*; allowed is an object or a list"),
        ("{} {}", "damaged JSON"),
        ("{}", "kind= is missing"),
        ('{"kind": ["cat"]}', "key kind: allowed are strings, whole numbers, true and false"),
        ('{"kind": 1.0}', "key kind: allowed are"),
        ('{"kind": null}', "key kind: allowed are"),
        ('{"kind": "cat", "kind": "dog"}', "'kind' is given twice"),
        ('{"kind": "cat", "count": true}', "count=on: not a whole number"),
    ],
)
def test_refusals(argument: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_key_values(OPTION, argument)


def test_deep_json_is_refused_like_any_damaged_one() -> None:
    with pytest.raises(ValueError, match="allowed is an object"):
        read_key_values(OPTION, '{"kind":' + "[" * 100_000)


@given(st.lists(ANY_TEXT, min_size=1))
def test_doubled_commas_survive_the_list(texts: list[str]) -> None:
    escaped = (text.replace(",", ",,") for text in texts)
    assert split_items(",".join(f"key={text}" for text in escaped)) == [f"key={text}" for text in texts]


@given(
    kind=st.sampled_from(["cat", "DOG"]),
    name=ANY_TEXT,
    count=st.integers(0, 9),
    loud=st.booleans(),
    trailing=st.booleans(),
)
def test_json_says_the_same_as_a_list(kind: str, name: str, count: int, loud: bool, trailing: bool) -> None:
    escaped = name.replace(",", ",,")
    as_list = f"{kind},name={escaped},count={count},loud={'on' if loud else 'off'}{',' * trailing}"
    as_json = json.dumps({"kind": kind, "name": name, "count": count, "loud": loud})
    values = read_key_values(OPTION, as_list)
    assert values == read_key_values(OPTION, as_json)
    assert values == {"kind": "Cat" if kind == "cat" else "dog", "name": name, "count": count, "loud": loud}
