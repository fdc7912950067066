"""The errors that a QMP client sees, with QEMU's classes."""

from __future__ import annotations

GENERIC_ERROR = "GenericError"
COMMAND_NOT_FOUND = "CommandNotFound"
DEVICE_NOT_FOUND = "DeviceNotFound"


class QmpError(Exception):
    """A command's failure: error_class is one of QEMU's QapiErrorClass, str() is the text for a person.

    request_id is the id of the failed command where the error was found before the command was.
    """

    def __init__(self, description: str, error_class: str = GENERIC_ERROR) -> None:
        super().__init__(description)
        self.error_class = error_class
