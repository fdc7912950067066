"""A chardev over a unix socket: as a server whose clients come and go, or as a client."""

from __future__ import annotations

import _socket
import select

from vmm_main.chardev.backend import ChardevBackend
from vmm_main.chardev.host_stream import InputStream, OutputStream
from vmm_main.chardev.unix_listener import UnixListener, adopt_listening_socket, listen_at_path
from vmm_main.errors import ConfigurationError
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.chardev.backend import FrontEnd
    from vmm_main.event_loop import EventLoop
    from vmm_main.vm_config import ChardevConfig

_log = Logger("chardev")


class SocketChardev(ChardevBackend):
    """One client at a time; a second is refused, and the next is welcome when the first has left."""

    __slots__ = ("_client", "_has_left", "_input", "_listener", "_loop", "_output")

    def __init__(self, config: ChardevConfig, loop: EventLoop) -> None:
        """Listens, or connects. Without nowait, a server waits for its first client here.

        Raises:
            ConfigurationError: The path or descriptor can't be used.
        """
        super().__init__(config)
        self._loop = loop
        self._client: _socket.socket | None = None
        self._has_left = False  # the client, with input in the kernel that the guest has no room for yet
        self._input: InputStream | None = None
        self._output: OutputStream | None = None
        self._listener: UnixListener | None = None
        if config.server or config.fd is not None:
            self._listen()
        else:
            self._connect()

    def _listen(self) -> None:
        config = self.config
        if config.fd is not None:
            self._listener = adopt_listening_socket(config.asked_as, config.fd)
        else:
            assert config.path is not None
            self._listener = listen_at_path(config.asked_as, config.path)
        self._listener.watch(self._loop, self._take_client)
        if not config.nowait:
            _log.tell_user(f"{self.config.asked_as}: waiting for a client, as nowait isn't given")
            try:
                while self._client is None:
                    self._loop.run_once()
            except BaseException:
                self._listener.close()
                raise

    def _connect(self) -> None:
        path = self.config.path
        assert path is not None
        client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        client.setblocking(False)  # a server with a full backlog is an error, not a wait that nothing ends
        try:
            client.connect(path)
        except OSError as error:
            client.close()
            raise ConfigurationError(
                f"{self.config.asked_as}: can't connect: {error.strerror or error}; allowed is a socket that "
                "somebody listens on (with server,nowait Bulkhead makes it itself)"
            ) from error
        self._take_client(client)

    def attach(self, front_end: FrontEnd) -> None:
        """Connects the front end; a client that is there already is announced."""
        self.front_end = front_end
        if self._client is not None:
            self._begin()

    def write(self, data: bytes) -> int:
        """Gives data to the client; without one it is discarded and counted."""
        if self._output is None:
            self.dropped_bytes += len(data)
            return len(data)
        return self._output.write(data)

    def input_wanted(self) -> None:
        """The front end has room again."""
        if self._input is not None:
            self._input.want()

    @property
    def connected(self) -> bool:
        """Whether a client is there."""
        return self._client is not None and not self._has_left

    @property
    def open_fds(self) -> list[int]:
        """The listening socket, and the client's."""
        sockets = (self._listener, self._client)
        output = [] if self._output is None else self._output.open_fds
        return [one.fileno() for one in sockets if one is not None] + output

    @property
    def _where(self) -> str:
        """What the log calls it: the same, whether somebody is there or not."""
        where = f"unix:{self.config.path}" if self.config.path is not None else f"fd:{self.config.fd}"
        return where + (",server=on" if self.config.server else "")

    def describe(self) -> str:
        """As QEMU's query-chardev has it."""
        return ("" if self.connected else "disconnected:") + self._where

    def flush_at_exit(self, data: bytes, deadline_s: float) -> int:
        """Gives data to the client, if there is one."""
        return self._output.flush(data, deadline_s) if self._output is not None else 0

    def close(self) -> None:
        """Hangs up and removes the socket file that was made here."""
        self._hang_up()
        if self._listener is not None:
            self._listener.close()

    def _take_client(self, client: _socket.socket) -> None:
        if self._client is not None and self._input is not None and _has_hung_up(self._client):
            # A client that leaves and the next that comes may be seen at the same moment.
            self._input.drain()
            if self._client is not None:
                _log.warning(f"{self._where}: the last client's unread input is dropped")
                self._client_left()
        if self._client is not None:
            _log.warning(f"{self._where}: a second client was refused: a chardev takes one at a time")
            client.close()
            return
        self._client = client
        if self.front_end is not None:
            self._begin()

    def _begin(self) -> None:
        assert self._client is not None
        assert self.front_end is not None
        front_end = self.front_end
        fd = self._client.fileno()
        try:
            self._output = OutputStream(
                self._loop, fd, on_room=front_end.output_possible, on_drop=self.count_dropped
            )
        except OSError as error:  # the process is short of descriptors
            _log.warning(f"{self._where}: a client was refused: {error.strerror}")
            self._hang_up()
            return
        self._input = InputStream(
            self._loop,
            fd,
            room=front_end.input_room,
            on_data=front_end.receive,
            on_end=self._client_left,
            on_hang_up=self._client_hung_up,
        )
        _log.info(f"{self._where}: connected")
        front_end.client_connected()
        self.input_wanted()
        front_end.output_possible()

    def _client_hung_up(self) -> None:
        """The client has left; what it sent last is read as the guest makes room, or until the next comes."""
        assert self.front_end is not None
        assert self._output is not None
        self._has_left = True
        self._output.close()
        self._output = None
        self.front_end.output_possible()

    def _client_left(self) -> None:
        self._hang_up()
        _log.info(f"{self._where}: the client has left")
        if self.front_end is not None:
            self.front_end.client_disconnected()
            self.front_end.output_possible()  # what waited for that client is discarded now

    def _hang_up(self) -> None:
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._output is not None:
            self._output.close()
            self._output = None
        if self._client is not None:
            self._client.close()
            self._client = None
        self._has_left = False


def _has_hung_up(client: _socket.socket) -> bool:
    """Whether the other end is closed, however much of what it sent is still unread."""
    poll = select.poll()
    poll.register(client.fileno(), 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
