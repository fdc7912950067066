"""Where QMP clients come in: listening unix sockets, and chardevs that a monitor was put on.

On the start-up path, so it imports nothing heavy. The server itself (json and the rest, ten milliseconds) is
imported when the first client comes, which is after the guest has begun to run.
"""

from __future__ import annotations

import time

from vmm_main.chardev.backend import FrontEnd
from vmm_main.chardev.unix_listener import UnixListener, adopt_listening_socket, listen_at_path
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from vmm_main.chardev.backend import ChardevBackend
    from vmm_main.event_loop import EventLoop
    from vmm_main.qmp.limits import QmpLimits
    from vmm_main.qmp.machine_interface import MachineInterface
    from vmm_main.qmp.server import QmpServer
    from vmm_main.qmp.session import QmpSession
    from vmm_main.qmp.socket_transport import SocketTransport
    from vmm_main.vm_config import ChardevConfig

_log = Logger("qmp")

# How long the end of the process waits for clients to take their last replies and events; SIGTERM promises an
# end within a second.
_LAST_WORDS_S = 0.3


class QmpMonitors:
    """All QMP monitors of one VM.

    In this order: listen() for each monitor on a socket and speak_on() for each on another chardev, as early
    as errors should show; start() once the machine exists; close() at the end, before the chardevs'.
    """

    __slots__ = ("_chardev_monitors", "_limits", "_machine", "_on_clients", "_server", "listeners")

    def __init__(self, limits: QmpLimits | None = None) -> None:
        self.listeners: list[QmpListener] = []
        self._chardev_monitors: list[ChardevMonitor] = []
        self._limits = limits
        self._machine: MachineInterface | None = None
        self._server: QmpServer | None = None
        self._on_clients: Callable[[], None] | None = None

    def listen(self, config: ChardevConfig) -> None:
        """Makes (or, with fd=, takes over) the listening socket of a monitor; clients wait until start().

        Raises:
            ConfigurationError: see vmm_main.chardev.unix_listener.
        """
        self.listeners.append(QmpListener(self, config))

    def speak_on(self, backend: ChardevBackend) -> None:
        """Puts a monitor on a chardev of another kind, or on a chardev that is open already."""
        self._chardev_monitors.append(ChardevMonitor(self, backend))

    def start(self, machine: MachineInterface) -> None:
        """Begins to serve."""
        self._machine = machine
        for listener in self.listeners:
            listener.watch(self.clients_loop)
        for monitor in self._chardev_monitors:
            monitor.attach()

    def when_clients_are_there(self, callback: Callable[[], None]) -> None:
        """Calls callback once every socket without nowait has had a client (now, if all have)."""
        for listener in self.listeners:
            if listener.awaits_client:
                _log.tell_user(
                    f"{listener.config.asked_as}: the guest waits for a client, as nowait isn't given"
                )
        self._on_clients = callback
        self.client_came()

    def client_came(self) -> None:
        """A listener has a client."""
        if self._on_clients is not None and self.clients_loop.somebody_waits:
            self.loop.call_soon(self.client_came)  # the guest doesn't start in the middle of something else
            return
        if self._on_clients is not None and not any(listener.awaits_client for listener in self.listeners):
            callback, self._on_clients = self._on_clients, None
            callback()

    def server(self) -> QmpServer:
        """Returns the server, made at the first call."""
        if self._server is None:
            from vmm_main.qmp.server import QmpServer  # not before the first client

            assert self._machine is not None
            self._server = QmpServer(self._machine, self, self._limits)
        return self._server

    @property
    def open_fds(self) -> list[int]:
        """The sockets: those that listen, and their clients'."""
        return [fd for listener in self.listeners for fd in listener.open_fds]

    @property
    def loop(self) -> EventLoop:
        """The event loop, once started."""
        assert self._machine is not None
        return self._machine.loop

    @property
    def clients_loop(self) -> EventLoop:
        """Where sockets' clients come and are served: with the devices, also while main waits for these."""
        assert self._machine is not None
        supervisor = self._machine.supervisor
        return self._machine.loop if supervisor is None else supervisor.loop

    def close(self) -> None:
        """Gives every client its last replies and events, waiting a moment for it, and removes the sockets.

        May be called again, without effect.
        """
        deadline_s = time.monotonic() + _LAST_WORDS_S
        for listener in self.listeners:
            listener.close(deadline_s)
        for monitor in self._chardev_monitors:
            monitor.close(deadline_s)
        if self._server is not None:
            self._server.descriptors.close_all()


class QmpListener:
    """A monitor on a listening socket: several clients at once, and over time."""

    __slots__ = ("_clients", "_monitors", "_unix", "awaits_client", "config")

    def __init__(self, monitors: QmpMonitors, config: ChardevConfig) -> None:
        self.config = config
        self._monitors = monitors
        self._clients: list[SocketTransport] = []
        self.awaits_client = not config.nowait
        self._unix: UnixListener
        if config.fd is not None:
            self._unix = adopt_listening_socket(config.asked_as, config.fd)
        else:
            assert config.path is not None
            self._unix = listen_at_path(config.asked_as, config.path)

    def watch(self, loop: EventLoop) -> None:
        """Begins to take clients."""
        self._unix.watch(loop, self._client_came)

    def describe(self) -> str:
        """Returns what query-chardev calls the file name, in QEMU's form."""
        where = f"fd:{self._unix.fileno()}" if self.config.path is None else f"unix:{self.config.path}"
        return f"{'' if self._clients else 'disconnected:'}{where},server=on"

    @property
    def open_fds(self) -> list[int]:
        """The socket that listens, and its clients'."""
        return [self._unix.fileno(), *(client.fileno() for client in self._clients)]

    def client_left(self, client: SocketTransport) -> None:
        """Forgets a client; another may take its place."""
        self._clients.remove(client)

    def close(self, deadline_s: float) -> None:
        """Ends all sessions and removes the socket."""
        self._unix.close()
        for client in tuple(self._clients):
            client.finish(deadline_s)

    def _client_came(self, client: _socket.socket) -> None:
        from vmm_main.qmp.session import QmpSession  # not before the first client
        from vmm_main.qmp.socket_transport import SocketTransport

        server = self._monitors.server()
        there, most = sum(each.has_reader for each in self._clients), server.limits.clients
        # Who has gone may have left commands, which are still obeyed: as many again of these.
        if there >= most or len(self._clients) >= 2 * most:
            server.refuse(client)
            return
        transport = SocketTransport(self, self._monitors.clients_loop, client)
        self._clients.append(transport)
        if there + 1 == most:
            _log.warning(f"{self.describe()}: {most} clients; others are refused until one leaves")
        transport.start(QmpSession(server, transport, self.describe()))
        self.awaits_client = False
        self._monitors.client_came()


class ChardevMonitor(FrontEnd):
    """A monitor on a chardev: one client at a time; and the transport of its session."""

    __slots__ = ("_backend", "_ended", "_monitors", "_opening", "_session", "_skip_line")

    def __init__(self, monitors: QmpMonitors, backend: ChardevBackend) -> None:
        self._monitors = monitors
        self._backend = backend
        self._session: QmpSession | None = None
        self._opening = False
        self._ended = False
        self._skip_line = False

    def attach(self) -> None:
        """Begins to serve; the session itself begins on the event loop."""
        self._backend.attach(self)
        if self._backend.connected:
            self.client_connected()

    # Towards the chardev

    def input_room(self) -> int:
        """What the session has room for; none before it has begun."""
        return 0 if self._session is None else self._session.input_room()

    def receive(self, data: bytes) -> None:
        """Input for the session."""
        if self._session is not None:
            self._session.receive(data)

    def output_possible(self) -> None:
        """The chardev takes bytes again."""
        if self._session is not None:
            self._session.output_possible()

    def client_connected(self) -> None:
        """Begins a session, soon: at a start, the vCPUs should not wait for the imports."""
        if self._session is None and not self._opening and not self._ended:
            self._opening = True
            self._monitors.loop.call_soon(self._begin)

    def client_disconnected(self) -> None:
        """Ends the session."""
        if self._session is not None:
            self._session.close("client disconnected")
        self._skip_line = False  # what the next client sends begins with a line

    # Towards the session

    @property
    def loop(self) -> EventLoop:
        """Where chardevs are watched: while main waits for devices, nobody here is served."""
        return self._monitors.loop

    @property
    def has_reader(self) -> bool:
        """Whether a client is there."""
        return self._backend.connected

    def write(self, data: bytes) -> int:
        """Output of the session."""
        return self._backend.write(data)

    def input_wanted(self) -> None:
        """The session has room again."""
        self._backend.input_wanted()

    def close_connection(self) -> None:
        """A chardev such as a terminal can't be hung up: whoever is there gets a new session."""
        self._session = None
        self._skip_line = True
        if self._backend.connected:
            self.client_connected()

    def close(self, deadline_s: float) -> None:
        """Sends what is left and ends the session."""
        session, self._session = self._session, None
        self._ended = True
        if session is not None:
            self._backend.flush_at_exit(session.take_output(), deadline_s)
            session.close("the VM ends")

    def _begin(self) -> None:
        self._opening = False
        if self._ended or not self._backend.connected:
            return
        from vmm_main.qmp.session import QmpSession  # not before the first client

        name = f"chardev {self._backend.config.chardev_id}"
        self._session = QmpSession(self._monitors.server(), self, name, skip_line=self._skip_line)
        self._skip_line = False
        self._session.start()
        self._backend.input_wanted()
