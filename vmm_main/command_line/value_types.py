"""What the values of options and keys can be: each type reads a text, and says what it allows.

read() raises ValueError with what is wrong; the caller puts the option's name before it and `allowed` behind.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KIB = 1 << 10
_SIZE_UNITS = {"K": _KIB, "M": _KIB**2, "G": _KIB**3, "T": _KIB**4}
_ON, _OFF = ("on", "true", "yes"), ("off", "false", "no")
_ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._"
_ID_MAX_CHARACTERS = 127
_PATH_MAX_BYTES = 4095  # <linux/limits.h>: PATH_MAX, less the zero byte
# More digits than any bound here has; int() of thousands would be slow, and then refused by Python itself.
_MOST_DIGITS = 20
_UUID_GROUPS = (8, 4, 4, 4, 12)


class ValueType:
    """A kind of value.

    Attributes:
        placeholder: What stands for the value in the synopsis, e.g. "N".
        allowed: What is allowed, for errors and the reference: "a whole number from 1 to 254".
    """

    __slots__ = ("allowed", "placeholder")

    def __init__(self, placeholder: str, allowed: str) -> None:
        self.placeholder = placeholder
        self.allowed = allowed

    def read(self, text: str) -> Any:
        """The value that text stands for.

        Raises:
            ValueError: It stands for none; the message says why.
        """
        raise NotImplementedError


class Text(ValueType):
    """Any text of some length."""

    __slots__ = ("_longest", "_shortest")

    def __init__(self, placeholder: str, shortest: int, longest: int) -> None:
        super().__init__(placeholder, f"{shortest} to {longest} characters")
        self._shortest = shortest
        self._longest = longest

    def read(self, text: str) -> str:
        """The text itself."""
        if not self._shortest <= len(text) <= self._longest:
            raise ValueError(f"{len(text)} characters" if text else "empty")
        return text


class Path(ValueType):
    """The name of a file, which is looked at when it is used."""

    __slots__ = ()

    def __init__(self, placeholder: str = "FILE") -> None:
        super().__init__(placeholder, f"a file name of 1 to {_PATH_MAX_BYTES} bytes")

    def read(self, text: str) -> str:
        """The name itself."""
        if not text:
            raise ValueError("empty")
        size_bytes = len(text.encode("utf-8", "surrogateescape"))
        if size_bytes > _PATH_MAX_BYTES:
            raise ValueError(f"{size_bytes} bytes")
        if "\0" in text:
            raise ValueError("a zero byte in a file name")
        return text


class Identifier(ValueType):
    """The name by which one option refers to what another made."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("ID", f"1 to {_ID_MAX_CHARACTERS} letters, digits, '-', '.' and '_'")

    def read(self, text: str) -> str:
        """The name itself."""
        if not text:
            raise ValueError("empty")
        if len(text) > _ID_MAX_CHARACTERS:
            raise ValueError(f"{len(text)} characters")
        for character in text:
            if character not in _ID_CHARACTERS:
                raise ValueError(f"{character!r} in an id")
        return text


class Integer(ValueType):
    """A whole number in a range."""

    __slots__ = ("_highest", "_lowest")

    def __init__(self, lowest: int, highest: int) -> None:
        super().__init__("N", f"a whole number from {lowest} to {highest}")
        self._lowest = lowest
        self._highest = highest

    def read(self, text: str) -> int:
        """The number."""
        if not _is_decimal(text.removeprefix("-")):
            raise ValueError("not a whole number")
        number = int(text)
        if not self._lowest <= number <= self._highest:
            raise ValueError("out of range")
        return number


class Size(ValueType):
    """An amount of memory: a number with K, M, G or T (KiB to TiB; small letters too), else in MiB."""

    __slots__ = ("_highest", "_lowest", "_multiple_of")

    def __init__(self, lowest: int, highest: int, multiple_of: int) -> None:
        """All in bytes."""
        super().__init__(
            "SIZE",
            f"{_say_size(lowest)} to {_say_size(highest)}, in MiB or with K, M, G or T behind it, "
            f"and a multiple of {_say_size(multiple_of)}",
        )
        self._lowest = lowest
        self._highest = highest
        self._multiple_of = multiple_of

    def read(self, text: str) -> int:
        """The size in bytes."""
        digits, unit = text, _SIZE_UNITS["M"]
        upper = text.upper()
        for suffix in ("IB", "B", ""):
            if upper.endswith(suffix) and upper[: len(upper) - len(suffix)][-1:] in tuple(_SIZE_UNITS):
                number = upper[: len(upper) - len(suffix)]
                digits, unit = number[:-1], _SIZE_UNITS[number[-1]]
                break
        if not _is_decimal(digits):
            raise ValueError("not a size")
        size_bytes = int(digits) * unit
        if not self._lowest <= size_bytes <= self._highest:
            raise ValueError("out of range")
        if size_bytes % self._multiple_of:
            raise ValueError("not a multiple of the page size")
        return size_bytes


class Boolean(ValueType):
    """On or off. A key of this type may stand without a value, which means on."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("on|off", "on, off, true, false, yes or no")

    def read(self, text: str) -> bool:
        """Whether it is on."""
        lower = text.lower()
        if lower in _ON:
            return True
        if lower in _OFF:
            return False
        raise ValueError("neither on nor off")


class Choice(ValueType):
    """One of a few words; capitals don't matter."""

    __slots__ = ("words",)

    def __init__(self, *words: str, placeholder: str | None = None) -> None:
        super().__init__(placeholder or "|".join(words), _one_of(words))
        self.words = words

    def read(self, text: str) -> str:
        """The word, as the table spells it."""
        lower = text.lower()
        for word in self.words:
            if word.lower() == lower:
                return word
        raise ValueError("unknown")


class Uuid(ValueType):
    """A UUID."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("UUID", "32 hexadecimal digits in groups of 8-4-4-4-12")

    def read(self, text: str) -> str:
        """The UUID in small letters."""
        lower = text.lower()
        groups = lower.split("-")
        sizes = tuple(len(group) for group in groups)
        if sizes != _UUID_GROUPS or lower.strip("0123456789abcdef-"):
            raise ValueError("not a UUID")
        return lower


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def _say_size(size_bytes: int) -> str:
    for unit in ("TiB", "GiB", "MiB"):
        scale = _SIZE_UNITS[unit[0]]
        if size_bytes % scale == 0:
            return f"{size_bytes // scale} {unit}"
    return f"{size_bytes // _KIB} KiB"


def _one_of(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
