"""A control socket: one msgpack map per SOCK_SEQPACKET packet, descriptors by SCM_RIGHTS from main only.

Nothing here waits for the other side: send() raises if the socket is full, receive() returns None if it is
empty. Whoever wants to wait polls the descriptor, with a deadline.

A packet is {"m": name, "i": request id, "f": fields}; a request's answer carries the same id.
"""

from __future__ import annotations

import _socket
import errno
import posix as os

from ipc.messages import DESCRIPTORS_MAX, PACKET_MAX_BYTES, Message
from ipc.packing import Packer, UnpackException, refuse_extension, unpackb
from ipc.schema import UINT32_MAX, SchemaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ipc.schema import Schema

_INT_BYTES = 4  # of a descriptor in a control message
_CONTROL_BYTES = _socket.CMSG_SPACE(DESCRIPTORS_MAX * _INT_BYTES)
# One for all packets: each would begin with a buffer of 256 KiB, of which a packet touches a page.
_pack = Packer().pack
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class ChannelError(Exception):
    """Base of what can go wrong on a channel."""


class PeerGoneError(ChannelError):
    """The other side has closed its end, or is dead."""


class ChannelFullError(ChannelError):
    """The other side doesn't read what it is sent."""


class MalformedError(ChannelError):
    """The other side has sent what the vocabulary doesn't have; the text says what."""


class Channel:
    """One end of a control socket."""

    __slots__ = ("_incoming", "_next_id", "_socket", "_takes_descriptors", "_trace", "peer")

    def __init__(
        self,
        fd: int,
        peer: str,
        incoming: dict[str, Schema],
        *,
        takes_descriptors: bool = False,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        """Takes over fd, a SOCK_SEQPACKET socket.

        Args:
            fd: The socket; owned from now on.
            peer: The other side's name, for errors and the trace.
            incoming: Schemas by name of the messages that may arrive.
            takes_descriptors: Whether descriptors may arrive; otherwise there is no buffer for any, and the
                kernel drops them.
            trace: Takes a line for people about each message (BULKHEAD_TRACE=ipc).
        """
        # With its kind given, Python doesn't ask the kernel for it.
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
        self._socket.setblocking(False)
        os.set_inheritable(fd, False)
        self._incoming = incoming
        self._takes_descriptors = takes_descriptors
        self._trace = trace
        self._next_id = 0
        self.peer = peer

    def fileno(self) -> int:
        """The descriptor, for polling; -1 once closed."""
        return self._socket.fileno()

    def stop_taking_descriptors(self) -> None:
        """From now on descriptors that come are dropped by the kernel, and recv is all that is called."""
        self._takes_descriptors = False

    def new_request_id(self) -> int:
        """The number for the next request; never 0."""
        self._next_id = self._next_id % UINT32_MAX + 1
        return self._next_id

    def send(self, message: Message) -> None:
        """Sends message with its descriptors, which stay the caller's.

        Raises:
            PeerGoneError: Nobody is at the other end.
            ChannelFullError: The other end doesn't read.
            ValueError: The packet or the number of descriptors is over the limit.
        """
        packet = _pack({"m": message.name, "i": message.request_id, "f": message.fields})
        if len(packet) > PACKET_MAX_BYTES or len(message.descriptors) > DESCRIPTORS_MAX:
            raise ValueError(
                f"{message.name} to {self.peer} has {len(packet)} bytes, "
                f"{len(message.descriptors)} descriptors; "
                f"allowed are {PACKET_MAX_BYTES} and {DESCRIPTORS_MAX}"
            )
        try:
            if message.descriptors:
                rights = b"".join([fd.to_bytes(_INT_BYTES, "little") for fd in message.descriptors])
                control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
                self._socket.sendmsg([packet], control, _socket.MSG_NOSIGNAL)
            else:
                self._socket.send(packet, _socket.MSG_NOSIGNAL)
        except BlockingIOError as error:
            raise ChannelFullError(f"{self.peer} doesn't read its control socket") from error
        except OSError as error:
            if error.errno not in _GONE:
                raise
            raise PeerGoneError(f"{self.peer} is gone") from error
        if self._trace is not None:
            self._trace(describe(f"to {self.peer}", message))

    def receive(self) -> Message | None:
        """The next message, or None if there is none now.

        Raises:
            PeerGoneError: There will be none any more.
            MalformedError: What came isn't in the vocabulary. Descriptors that came with it are closed.
        """
        descriptors: tuple[int, ...] = ()
        try:
            if self._takes_descriptors:
                packet, control, flags, _ = self._socket.recvmsg(
                    PACKET_MAX_BYTES + 1, _CONTROL_BYTES, _socket.MSG_CMSG_CLOEXEC
                )
                descriptors = _descriptors_in(control)
                if flags & _socket.MSG_CTRUNC:
                    _close(descriptors)
                    raise MalformedError(f"{self.peer}: more than {DESCRIPTORS_MAX} descriptors")
            else:
                packet = self._socket.recv(PACKET_MAX_BYTES + 1)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.ECONNRESET:
                # Told once, if the other side ended without reading all: its own last words come after it.
                return self.receive()
            if error.errno not in _GONE:
                raise
            packet = b""
        if not packet:
            _close(descriptors)
            if self._has_hung_up():
                raise PeerGoneError(f"{self.peer} is gone")
            raise MalformedError(f"{self.peer}: an empty packet")
        try:
            message = decode(packet, self._incoming)
        except SchemaError as error:
            _close(descriptors)
            raise MalformedError(f"{self.peer}: {error}") from error
        message.descriptors = descriptors
        if self._trace is not None:
            self._trace(describe(f"from {self.peer}", message))
        return message

    def _has_hung_up(self) -> bool:
        """Whether there is an end, which looks like an empty packet, but comes again."""
        # Not by a poll with a timeout: it reads the clock, which may take a call that devices don't have.
        try:
            return not self._socket.recv(1, _socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return True

    def detach(self) -> int:
        """Gives the descriptor to the caller; the channel is closed afterwards."""
        return self._socket.detach()

    def close(self) -> None:
        """Closes the socket; closing twice does nothing."""
        self._socket.close()


def decode(packet: bytes, incoming: dict[str, Schema]) -> Message:
    """The message in a packet, checked.

    Raises:
        SchemaError: It isn't one of incoming, or not as its schema says.
    """
    if len(packet) > PACKET_MAX_BYTES:
        raise SchemaError(f"a packet over {PACKET_MAX_BYTES} bytes")
    try:
        envelope: Any = unpackb(
            packet,
            raw=False,
            strict_map_key=True,
            use_list=True,
            max_ext_len=0,
            ext_hook=refuse_extension,
        )
    except (ValueError, UnpackException) as error:
        raise SchemaError(f"a packet that isn't msgpack ({type(error).__name__})") from error
    if type(envelope) is not dict or set(envelope) != {"m", "i", "f"}:
        raise SchemaError("a packet without m, i and f")
    name, request_id, fields = envelope["m"], envelope["i"], envelope["f"]
    schema = incoming.get(name) if type(name) is str else None
    if schema is None:
        raise SchemaError(f"unknown message {ascii(name)[:80]}")
    if type(request_id) is not int or not 0 <= request_id <= UINT32_MAX:
        raise SchemaError(f"{name}: request id {ascii(request_id)[:80]}")
    schema.check(fields, name)
    return Message(name, fields, request_id)


# For describe(): characters of a value or line, lines of a text.
_CUT_AT = 120
_LINES_AT_MOST = 200


def describe(direction: str, message: Message) -> str:
    """A message in one readable line, and one more for each of a long text's; what is longer is cut."""
    parts, below = [], []
    for name, value in message.fields.items():
        if type(value) is int and (name.endswith("_gpa") or name == "features"):
            parts.append(f"{name}={value:#x}")
        elif type(value) is bytes and len(value) > _CUT_AT and value.isascii():
            below += [
                f"    {_cut(ascii(line)[1:-1])}" for line in value.decode().replace("\0", "\n").splitlines()
            ]
        else:
            parts.append(f"{name}={_cut(ascii(value))}")
    number = f" #{message.request_id}" if message.request_id else ""
    carried = f" with descriptors {list(message.descriptors)}" if message.descriptors else ""
    line = f"{direction}: {message.name}{number} {' '.join(parts)}{carried}".rstrip()
    return "\n".join([line, *below[:_LINES_AT_MOST]])


def _cut(text: str) -> str:
    return text if len(text) <= _CUT_AT else f"{text[: _CUT_AT - 3]}..."


def _descriptors_in(control: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found: list[int] = []
    for level, kind, data in control:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            usable = len(data) - len(data) % _INT_BYTES
            found += [
                int.from_bytes(data[at : at + _INT_BYTES], "little") for at in range(0, usable, _INT_BYTES)
            ]
    return tuple(found)


def _close(descriptors: tuple[int, ...]) -> None:
    for fd in descriptors:
        os.close(fd)
