"""Splits the `key=value,...` argument of an option, or its JSON spelling, into keys and texts.

`,,` stands for a comma in a value, a trailing comma is allowed, the first key may be left out where the
option says so, and a key without `=` means on (`server`).
"""

from __future__ import annotations

from vmm_main.command_line.value_types import Boolean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmm_main.command_line.option_table import Key, Option

_KEY_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_."


def read_key_values(option: Option, argument: str) -> dict[str, Any]:
    """The values by key, each read by its key's type; keys that weren't given are missing.

    Raises:
        ValueError: Something in the list is wrong; the message names key, value and what is allowed.
    """
    pairs = _json_pairs(argument) if argument.startswith("{") else _pairs(option, argument)
    more = _variant_keys(option, pairs)
    keys = {**option.keys, **more} if more else option.keys
    values: dict[str, Any] = {}
    for name, text in pairs:
        key = keys.get(name)
        if key is None:
            if option.variants is not None and keys is option.keys:
                break  # without the key that brings others: that one is what is wrong
            raise ValueError(_unknown(option, keys, name))
        if name in values:
            raise ValueError(f"key {name!r} is given twice; allowed is once")
        values[name] = _read_value(key, text)
    for key in keys.values():
        if key.required and key.name not in values:
            raise ValueError(f"{key.name}= is missing; allowed is {key.value_type.allowed}")
    return values


def _read_value(key: Key, text: str | None) -> Any:
    if text is None:  # a key alone
        if not isinstance(key.value_type, Boolean):
            allowed = key.value_type.allowed
            raise ValueError(f"key {key.name!r} has no value; allowed is {key.name}= with {allowed}")
        text = "on"
    try:
        return key.value_type.read(text)
    except ValueError as error:
        from vmm_main.command_line.error_text import shorten

        raise ValueError(
            f"{key.name}={shorten(text)}: {error}; allowed is {key.value_type.allowed}"
        ) from error


def _variant_keys(option: Option, pairs: list[tuple[str, str | None]]) -> dict[str, Key]:
    """The keys that the first key's value brings; without one, the list fails for that."""
    for name, text in pairs:
        if name == option.first_key and text is not None and option.variants is not None:
            return option.variants.keys_of(text)
    return {}


def _unknown(option: Option, keys: dict[str, Key], name: str) -> str:
    from vmm_main.command_line.error_text import nearest, shorten

    reason = option.variants.explain_unknown(name) if option.variants is not None else ""
    return f"no key {shorten(name)}{reason or nearest(name, keys)}; allowed are {', '.join(keys)}"


def split_items(argument: str) -> list[str]:
    """The items of a list, with `,,` made into the comma it stands for."""
    # No argument of a program holds a zero byte.
    items = [item.replace("\0", ",") for item in argument.replace(",,", "\0").split(",")]
    if items[-1] == "" and len(items) > 1:
        items.pop()  # a trailing comma
    return items


def _pairs(option: Option, argument: str) -> list[tuple[str, str | None]]:
    pairs: list[tuple[str, str | None]] = []
    for index, item in enumerate(split_items(argument)):
        name, equals, text = item.partition("=")
        # `unix:/a=b` is a value with an equals sign in it; `tpye=x` is a key, though a wrong one.
        looks_like_key = bool(equals) and name not in ("", None) and not name.strip(_KEY_CHARACTERS)
        if index == 0 and option.first_key is not None and not looks_like_key:
            pairs.append((option.first_key, item))
        elif equals:
            pairs.append((name, text))
        elif not item:
            raise ValueError("an empty item in the list; allowed is key=value, with commas between")
        else:
            pairs.append((item, None))
    return pairs


def _json_pairs(argument: str) -> list[tuple[str, str | None]]:
    import json

    def keep_all(members: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return members  # a dict would hide a key given twice

    try:
        members = json.loads(argument, object_pairs_hook=keep_all)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"damaged JSON ({error}); allowed is an object or a list of key=value") from error
    pairs: list[tuple[str, str | None]] = []
    for name, value in members:
        if not isinstance(value, (bool, int, str)):
            from vmm_main.command_line.error_text import shorten

            problem = f"key {shorten(name)}: allowed are strings, whole numbers, true and false"
            raise ValueError(problem)  # noqa: TRY004 - the user's mistake, not the caller's
        pairs.append((name, ("off", "on")[value] if isinstance(value, bool) else str(value)))
    return pairs
