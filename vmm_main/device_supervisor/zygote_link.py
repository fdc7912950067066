"""The link to the zygote, which makes device processes on request; and its replacement by a fresh one."""

from __future__ import annotations

import os

from ipc.channel import Channel, ChannelError
from ipc.messages import Message
from ipc.zygote_messages import FROM_ZYGOTE
from vmm_main.event_loop import READABLE
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vmm_main.event_loop import EventLoop

    OnMade = Callable[[int | None, str], None]

_log = Logger("zygote")


class ZygoteLink:
    """One zygote, from the request for it to the end of its socket.

    It answers in the order it is asked, so requests may be sent while it still warms up.
    """

    __slots__ = ("_channel", "_loop", "_on_gone", "_waiting", "pid")

    def __init__(
        self,
        loop: EventLoop,
        socket_fd: int,
        on_gone: Callable[[ZygoteLink], None],
        trace: Callable[[str], None] | None,
    ) -> None:
        """Takes over the socket.

        Args:
            loop: Where answers are taken.
            socket_fd: Our end of the zygote's socket.
            on_gone: Called once, when it has ended or sent nonsense; requests that waited have failed then.
            trace: For BULKHEAD_TRACE=ipc.
        """
        self._loop = loop
        self._on_gone = on_gone
        self._channel = Channel(socket_fd, "zygote", FROM_ZYGOTE, trace=trace)
        self._waiting: dict[int, OnMade] = {}
        self.pid: int | None = None
        loop.watch(self._channel.fileno(), READABLE, self._on_readable)

    def make_device(self, fields: dict[str, Any], descriptors: tuple[int, ...], on_made: OnMade) -> None:
        """Asks for a device process.

        Args:
            fields: Of MAKE_DEVICE.
            descriptors: Its control socket and its black box; they stay the caller's.
            on_made: Called with the pid and "", or with None and what went wrong. Not before this returns.
        """
        request_id = self._channel.new_request_id()
        self._waiting[request_id] = on_made
        try:
            self._channel.send(Message("MAKE_DEVICE", fields, request_id, descriptors))
        except ChannelError as error:
            reason = str(error)
            self._loop.call_soon(lambda: self._fail(reason))

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._channel.fileno() >= 0

    def retire(self) -> None:
        """Asks no more of it: it ends when it sees the end of its socket. Requests that wait fail."""
        self._close("the zygote is retired")

    def _on_readable(self, _events: int) -> None:
        try:
            while self.is_open and (message := self._channel.receive()) is not None:
                self._take(message)
        except ChannelError as error:
            self._fail(str(error))

    def _take(self, message: Message) -> None:
        on_made = self._waiting.pop(message.request_id, None)
        if on_made is None and message.name == "FAILED":
            self._fail(f"zygote: {message.fields['reason']}")
        elif on_made is None:
            self._fail(f"zygote: {message.name} that answers nothing")
        elif message.name == "MADE_DEVICE":
            on_made(message.fields["pid"], "")
        else:
            on_made(None, message.fields["reason"])

    def _fail(self, reason: str) -> None:
        if self.is_open:
            _log.warning(f"{reason}")
            self._close(reason)
            self._on_gone(self)

    def _close(self, reason: str) -> None:
        if self.is_open:
            self._loop.unwatch(self._channel.fileno())
            self._channel.close()
        waiting, self._waiting = self._waiting, {}
        for on_made in waiting.values():
            on_made(None, reason)


class ZygoteSupply:
    """Always a zygote that may be asked: the current one, and a fresh one when that is called for."""

    __slots__ = ("_closing", "_current", "_loop", "_pids", "_spawner", "_trace")

    def __init__(
        self,
        loop: EventLoop,
        spawner: SpawnerInterface,
        first_socket: int,
        trace: Callable[[str], None] | None,
    ) -> None:
        """Takes over the spawner and the socket of the first zygote, which it was asked for already."""
        self._loop = loop
        self._spawner = spawner
        self._trace = trace
        self._closing = False
        self._pids: dict[int, int] = {}
        self._current = ZygoteLink(loop, first_socket, self._gone, trace)
        loop.watch(spawner.fileno(), READABLE, self._on_spawner)

    def current(self) -> ZygoteLink:
        """The zygote to ask.

        Raises:
            ChannelError: There is none, and there can be none any more.
        """
        if not self._current.is_open:
            self.replace()
        return self._current

    def replace(self) -> None:
        """Has a fresh zygote made, with a layout of its own; the old one ends.

        Raises:
            ChannelError: The spawner is gone.
        """
        import _socket

        self._current.retire()
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            self._spawner.request_zygote(theirs.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._current = ZygoteLink(self._loop, ours.detach(), self._gone, self._trace)

    def close(self) -> None:
        """Ends zygotes and spawner; reap() afterwards takes their exit statuses."""
        self._closing = True
        self._current.retire()
        if self._spawner.fileno() >= 0:
            self._loop.unwatch(self._spawner.fileno())
        self._spawner.close()

    @property
    def pidfds(self) -> list[int]:
        """Of the zygotes that haven't been reaped."""
        return list(self._pids)

    def reap(self) -> None:
        """Takes the exit statuses of those that have ended."""
        for pidfd in tuple(self._pids):
            if os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG) is not None:
                self._forget(pidfd)

    def _gone(self, _link: ZygoteLink) -> None:
        """The next request brings a new one."""

    def _on_spawner(self, _events: int) -> None:
        try:
            pid = self._spawner.receive_pid()
        except ChannelError as error:
            if not self._closing:
                _log.error(f"{error}: a device process that dies can't be replaced any more")
            self._loop.unwatch(self._spawner.fileno())
            self._spawner.close()
            return
        if pid is not None:
            pidfd = os.pidfd_open(pid)
            self._pids[pidfd] = pid
            self._loop.watch(pidfd, READABLE, lambda _events: self._reap_one(pidfd))

    def _reap_one(self, pidfd: int) -> None:
        status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        if status is not None:
            if status.si_status != 0 and not self._closing:
                _log.warning(f"zygote {self._pids[pidfd]} ended with status {status.si_status}")
            self._forget(pidfd)

    def _forget(self, pidfd: int) -> None:
        self._loop.unwatch(pidfd)
        os.close(pidfd)
        del self._pids[pidfd]


if TYPE_CHECKING:
    from vmm_main.device_supervisor.spawner import Spawner as SpawnerInterface
