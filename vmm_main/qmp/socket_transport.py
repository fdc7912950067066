"""Carries one QMP session over a connected unix socket, with flow control and received descriptors."""

from __future__ import annotations

import _socket
import select
import struct
import time

from vmm_main.event_loop import READABLE, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.event_loop import EventLoop
    from vmm_main.qmp.listener import QmpListener
    from vmm_main.qmp.session import QmpSession

# The most descriptors that the kernel passes in one message (SCM_MAX_FD, unix(7)).
_DESCRIPTORS_MAX = 253
_CONTROL_BYTES = _socket.CMSG_SPACE(4 * _DESCRIPTORS_MAX)
# recvmsg's flag to set close-on-exec on received descriptors; _socket has no name for it (linux/socket.h).
_MSG_CMSG_CLOEXEC = 0x40000000


class SocketTransport:
    """Reads only what the session has room for, and writes what the client takes."""

    __slots__ = (
        "_events",
        "_gone",
        "_input_over",
        "_listener",
        "_output_waits",
        "_session",
        "_socket",
        "loop",
    )

    def __init__(self, listener: QmpListener, loop: EventLoop, client: _socket.socket) -> None:
        self._listener = listener
        self.loop = loop
        self._socket = client
        self._session: QmpSession | None = None
        self._events = 0
        self._input_over = False
        self._output_waits = False
        # Both directions are shut: the descriptor, which would be ready for ever, isn't watched any more.
        self._gone = False

    @property
    def has_reader(self) -> bool:
        """Whether the client hasn't closed its socket."""
        return not self._gone

    def fileno(self) -> int:
        """The client's socket."""
        return self._socket.fileno()

    def start(self, session: QmpSession) -> None:
        """Begins to serve."""
        self._session = session
        self.loop.watch(self._socket.fileno(), 0, self._ready)
        session.start()
        self._update_events()

    def write(self, data: bytes) -> int:
        """Sends without blocking; output for a client that has left is dropped."""
        if self._gone:
            return len(data)
        try:
            taken = self._socket.send(data, _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            taken = 0
        except (BrokenPipeError, ConnectionResetError):
            return len(data)
        if taken < len(data):
            self._output_waits = True
            self._update_events()
        return taken

    def input_wanted(self) -> None:
        """The session has room again."""
        if self._gone:
            self._read_all()
        else:
            self._update_events()

    def close_connection(self) -> None:
        """Hangs up."""
        if not self._gone:
            self.loop.unwatch(self._socket.fileno())
            self._gone = True
        self._socket.close()
        self._session = None
        self._listener.client_left(self)

    def finish(self, deadline_s: float) -> None:
        """Sends what is left, until deadline_s (time.monotonic()) at the latest, and hangs up."""
        session = self._session
        if session is None:
            return
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLOUT)
        output = session.take_output()
        while output and not self._gone:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                break
            output = output[self.write(output) :]
        session.close("the VM ends")

    def _ready(self, events: int) -> None:
        session = self._session
        if session is None:
            return
        if events & (select.EPOLLHUP | select.EPOLLERR):
            # The client closed its socket. What it sent before still counts; what it is sent is dropped.
            self.loop.unwatch(self._socket.fileno())
            self._gone = True
            session.output_possible()
            self._read_all()
            return
        if events & WRITABLE:
            self._output_waits = False
            session.output_possible()
        if events & READABLE:
            self._read()
        self._update_events()

    def _read_all(self) -> None:
        while self._session is not None and not self._input_over and self._session.input_room() > 0:
            self._read()

    def _read(self) -> None:
        """Reads once, if the session has room."""
        session = self._session
        if session is None or self._input_over:
            return
        room = session.input_room()
        if room == 0:
            return
        try:
            data, ancillary, _flags, _address = self._socket.recvmsg(room, _CONTROL_BYTES, _MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data, ancillary = b"", []
        for level, kind, payload in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                session.receive_descriptors(list(struct.unpack(f"{len(payload) // 4}i", payload)))
        if data:
            session.receive(data)
        else:
            self._input_over = True
            session.input_ended()

    def _update_events(self) -> None:
        """Watches for what can be used: input if there is room for it, room for output if there is any."""
        session = self._session
        if session is None or self._gone:
            return
        events = READABLE if not self._input_over and session.input_room() > 0 else 0
        if self._output_waits:
            events |= WRITABLE
        if events != self._events:
            self._events = events
            self.loop.rewatch(self._socket.fileno(), events)
