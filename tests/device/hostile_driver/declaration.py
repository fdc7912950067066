"""What each device's well_formed_requests.py says of its requests: attacks are derived from it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from device_procs.device_module import DevicePlan
from device_procs.device_registry import KINDS
from vmm_main.command_line.parser import parse

FILL = 0xEE  # what every writable byte holds before the device has it

# Whether a completed chain is answered as it should be: by the used entry's length and the writable bytes.
IsAnswered = Callable[[int, bytes], bool]


@dataclass(frozen=True)
class Request:
    """One chain of a driver's.

    Attributes:
        readable: The buffers that the device reads.
        writable: The lengths of those that it writes.
        is_answered: Whether what the device has made of it is right.
        queue: Which queue takes it.
        header_bytes: With fewer readable bytes it isn't a request at all.
    """

    readable: tuple[bytes, ...]
    writable: tuple[int, ...]
    is_answered: IsAnswered
    queue: int = 0
    header_bytes: int = 0


@dataclass(frozen=True)
class Race:
    """A field of a request that a second thread changes while the device works on it.

    Attributes:
        request: Its is_answered says what may come of any of the values.
        buffer: Which readable buffer has the field.
        offset: Where in it.
        width: 1, 2, 4 or 8 bytes.
        values: That the field has in turn.
    """

    request: Request
    buffer: int
    offset: int
    width: int
    values: tuple[int, ...]


@dataclass(frozen=True)
class DeclaredDevice:
    """One kind of device, as attacks see it.

    Attributes:
        arguments: Of the command line for one, with what it needs of the host in the directory given: files
            there are made anew.
        requests: Well-formed ones. The first of each queue is what malformed chains are made from.
        refused: Well-formed chains whose contents can't be; is_answered tells the device's own error.
        races: Fields that change.
        standalone: Arguments for its standalone_device.c, by a name; arguments() was called before.
        untouched: What of the host's files no request here may change, to be compared before and after.
    """

    arguments: Callable[[Path], tuple[str, ...]]
    requests: dict[str, Request]
    refused: dict[str, Request] = field(default_factory=dict)
    races: dict[str, Race] = field(default_factory=dict)
    standalone: dict[str, Callable[[Path], tuple[str, ...]]] = field(default_factory=dict)
    untouched: Callable[[Path], bytes] = lambda _where: b""

    def plan(self, where: Path) -> DevicePlan:
        """What main makes of the arguments."""
        (device,) = parse(["-kernel", "/kernel", *self.arguments(where)]).devices
        assert device.plan is not None
        return device.plan

    def shape_of(self, queue: int) -> Request:
        """What malformed chains of a queue are made from."""
        return next(request for request in self.requests.values() if request.queue == queue)

    @property
    def queues(self) -> list[int]:
        """Those that have requests."""
        return sorted({request.queue for request in self.requests.values()})


def declared(kind: str) -> DeclaredDevice:
    """The declaration of a registered kind."""
    device = importlib.import_module(f"tests.device.{KINDS[kind][1]}.well_formed_requests").DEVICE
    assert isinstance(device, DeclaredDevice)
    return device
