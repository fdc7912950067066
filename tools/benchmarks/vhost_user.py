"""The front end's side of vhost-user, as far as a disk with one queue needs it: it takes a VMM's place.

Source: docs/interop/vhost-user.rst of QEMU. Integers are the host's; every message has a header of request,
flags and size, and descriptors come with SCM_RIGHTS.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType

from tools.fake_driver.driver_queue import DriverQueue
from tools.fake_driver.guest_ram import GuestRam

F_PROTOCOL_FEATURES = 1 << 30
PROTOCOL_F_REPLY_ACK = 1 << 3
PROTOCOL_F_CONFIG = 1 << 9

GET_FEATURES = 1
SET_FEATURES = 2
SET_OWNER = 3
SET_MEM_TABLE = 5
SET_VRING_NUM = 8
SET_VRING_ADDR = 9
SET_VRING_BASE = 10
GET_VRING_BASE = 11
SET_VRING_KICK = 12
SET_VRING_CALL = 13
GET_PROTOCOL_FEATURES = 15
SET_PROTOCOL_FEATURES = 16
SET_VRING_ENABLE = 18
GET_CONFIG = 24

_HEADER = struct.Struct("=III")
_U64 = struct.Struct("=Q")
_VRING_STATE = struct.Struct("=II")  # index, number
_VRING_ADDR = struct.Struct("=IIQQQQ")  # index, flags, descriptors, used, available, log
_MEMORY_HEAD = struct.Struct("=II")  # regions, padding
_MEMORY_REGION = struct.Struct("=QQQQ")  # guest address, size, user address, offset in the file
_CONFIG = struct.Struct("=III")  # offset, size, flags
_VERSION = 1
_FLAG_REPLY = 1 << 2
_FLAG_NEED_REPLY = 1 << 3


class VhostUserError(Exception):
    """The back end doesn't offer what is needed, refuses a message, or is gone."""


class VhostUserFrontEnd:
    """A connection to a back end; a context manager, which closes it."""

    def __init__(self, connection: socket.socket) -> None:
        """Takes over a connected socket, whose timeout says how long an answer may take."""
        self._socket = connection

    def __enter__(self) -> VhostUserFrontEnd:
        """The front end itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection, at which a back end stops using the memory."""
        self._socket.close()

    def negotiate(self, features: int) -> None:
        """Becomes the owner and negotiates features, all of which are needed.

        Raises:
            VhostUserError: The back end doesn't have all of them.
        """
        needed = features | F_PROTOCOL_FEATURES
        self._send(SET_OWNER)
        offered = self._get_u64(GET_FEATURES)
        if needed & ~offered:
            raise VhostUserError(f"the back end lacks the features {needed & ~offered:#x}")
        protocol = PROTOCOL_F_REPLY_ACK | PROTOCOL_F_CONFIG
        lacking = protocol & ~self._get_u64(GET_PROTOCOL_FEATURES)
        if lacking:
            raise VhostUserError(f"the back end lacks the protocol features {lacking:#x}")
        self._send(SET_PROTOCOL_FEATURES, _U64.pack(protocol))
        self._set(SET_FEATURES, _U64.pack(needed))

    def config(self, size: int) -> bytes:
        """The first bytes of the device's config space.

        Raises:
            VhostUserError: It doesn't tell them.
        """
        self._send(GET_CONFIG, _CONFIG.pack(0, size, 0) + bytes(size))
        return self._receive(GET_CONFIG, _CONFIG.size + size)[_CONFIG.size :]

    def start(self, ram: GuestRam, queue: DriverQueue, kick_fd: int, call_fd: int) -> None:
        """Gives the back end memory and queue 0, and lets it go.

        Raises:
            VhostUserError: It refuses one of them.
        """
        user = ram.address_of_gpa_zero()
        region = _MEMORY_REGION.pack(ram.gpa, ram.size, user + ram.gpa, 0)
        self._set(SET_MEM_TABLE, _MEMORY_HEAD.pack(1, 0) + region, [ram.fd])
        self._set(SET_VRING_NUM, _VRING_STATE.pack(0, queue.num))
        self._set(SET_VRING_BASE, _VRING_STATE.pack(0, 0))
        rings = (user + queue.desc_gpa, user + queue.used_gpa, user + queue.avail_gpa)
        self._set(SET_VRING_ADDR, _VRING_ADDR.pack(0, 0, *rings, 0))
        self._set(SET_VRING_CALL, _U64.pack(0), [call_fd])
        self._set(SET_VRING_KICK, _U64.pack(0), [kick_fd])
        self._set(SET_VRING_ENABLE, _VRING_STATE.pack(0, 1))

    def stop(self) -> int:
        """Stops queue 0; returns the index of the next chain that the back end would have taken.

        Raises:
            VhostUserError: It doesn't answer.
        """
        self._send(GET_VRING_BASE, _VRING_STATE.pack(0, 0))
        _, base = _VRING_STATE.unpack(self._receive(GET_VRING_BASE, _VRING_STATE.size))
        return int(base)

    def _set(self, request: int, payload: bytes, descriptors: list[int] | None = None) -> None:
        """A message whose success the back end confirms."""
        self._send(request, payload, descriptors, _FLAG_NEED_REPLY)
        (failed,) = _U64.unpack(self._receive(request, _U64.size))
        if failed:
            raise VhostUserError(f"the back end answered request {request} with {failed}")

    def _get_u64(self, request: int) -> int:
        self._send(request)
        (value,) = _U64.unpack(self._receive(request, _U64.size))
        return int(value)

    def _send(
        self, request: int, payload: bytes = b"", descriptors: list[int] | None = None, flags: int = 0
    ) -> None:
        message = _HEADER.pack(request, _VERSION | flags, len(payload)) + payload
        try:
            sent = socket.send_fds(self._socket, [message], descriptors or [])
        except OSError as error:
            raise VhostUserError(f"request {request}: {error}") from error
        if sent != len(message):
            raise VhostUserError(f"request {request}: {sent} of {len(message)} bytes were sent")

    def _receive(self, request: int, expected: int) -> bytes:
        answered, flags, size = _HEADER.unpack(self._read(_HEADER.size, request))
        if answered != request or not flags & _FLAG_REPLY or size != expected:
            raise VhostUserError(
                f"request {request} with an answer of {expected} bytes was answered by {answered}, flags "
                f"{flags:#x}, {size} bytes"
            )
        return self._read(size, request)

    def _read(self, size: int, request: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                part = self._socket.recv(size - len(data))
            except OSError as error:
                raise VhostUserError(f"request {request}: {error}") from error
            if not part:
                raise VhostUserError(f"the back end is gone at request {request}")
            data += part
        return data
