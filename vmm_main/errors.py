"""The exceptions that end a start or a command with one line for a person."""

from __future__ import annotations


class BulkheadError(Exception):
    """Base of the errors whose text is written for the person who runs Bulkhead.

    It is one printable line, whatever the names and values in it hold: a control character is escaped.
    """

    def __str__(self) -> str:
        return "".join(
            character if character.isprintable() else repr(character)[1:-1] for character in super().__str__()
        )


class ConfigurationError(BulkheadError):
    """What the user asked for can't be done as asked: the text names option, value and what is allowed."""


class HostError(BulkheadError):
    """The host lacks or refuses something: the text says what, and what to do about it."""


class GuestImageError(ConfigurationError):
    """A kernel or initrd file can't be used: the text names the file and what was found in it."""
