"""The supply of zygotes: one that can be asked, a fresh one when that is called for, and what they leave."""

from __future__ import annotations

import posix as os

from ipc.channel import ChannelError
from vmm_main.device_supervisor.own_children import end_children, kill_child, own_children
from vmm_main.device_supervisor.zygote_link import ZygoteLink
from vmm_main.errors import HostError
from vmm_main.event_loop import READABLE
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm_main.device_supervisor.deadlines import Deadlines
    from vmm_main.device_supervisor.spawner import Spawner
    from vmm_main.event_loop import EventLoop

_log = Logger("zygote")


class ZygoteSupply:
    """The spawner, its zygotes, and the processes that a zygote made but never told of."""

    __slots__ = ("_closing", "_current", "_deadlines", "_device_pids", "_links", "_loop", "_spawner",
                 "_spawner_pidfd", "_starting", "_strays", "_strays_possible", "_trace")  # fmt: skip

    def __init__(
        self,
        loop: EventLoop,
        spawner: Spawner,
        first_socket: int,
        *,
        deadlines: Deadlines,
        device_pids: Callable[[], list[int]],
        trace: Callable[[str], None] | None,
    ) -> None:
        """Takes over the spawner and the socket of the first zygote, which it was asked for already.

        Args:
            loop: Where answers are taken.
            spawner: Which makes zygotes.
            first_socket: The first zygote's.
            deadlines: Of the VM.
            device_pids: Tells the pids of the device processes that aren't reaped.
            trace: For BULKHEAD_TRACE=ipc.
        """
        self._loop = loop
        self._spawner = spawner
        self._deadlines = deadlines
        self._device_pids = device_pids
        self._trace = trace
        self._closing = False
        self._strays_possible = False
        self._strays: dict[int, int] = {}
        self._links: list[ZygoteLink] = []
        self._starting: list[ZygoteLink] = []  # the spawner answers in this order
        self._current = self._add(first_socket)
        self._spawner_pidfd = os.pidfd_open(spawner.pid)
        loop.watch(self._spawner_pidfd, READABLE, self._on_spawner_exit)
        loop.watch(spawner.fileno(), READABLE, self._on_spawner)

    @property
    def can_make(self) -> bool:
        """Whether there is a zygote to ask, or can be one."""
        return self._spawner.fileno() >= 0 or self._current.takes_requests

    def current(self) -> ZygoteLink:
        """The zygote to ask.

        Raises:
            ChannelError: There is none, and there can be none any more.
            OSError: The host is short of descriptors.
        """
        if not self._current.takes_requests:
            self.replace()
        return self._current

    def replace(self) -> None:
        """Has a fresh zygote made, with a layout of its own; the old one ends.

        Raises:
            ChannelError: The spawner is gone, or doesn't read.
            OSError: The host is short of descriptors.
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
        self._current = self._add(ours.detach())

    def begin_end(self) -> None:
        """The VM ends: kills zygotes and spawner."""
        self._closing = True
        for link in self._links:
            link.close("the VM ends")
        self._forget_spawner()
        self._spawner.close()
        if self._spawner_pidfd >= 0:
            kill_child(self._spawner.pid, self._spawner_pidfd)

    def finish_end(self, until_s: float) -> None:
        """Reaps all processes that there are, known or not, until until_s (monotonic)."""
        left = end_children([*self._device_pids(), *self.pids], until_s)
        if left:
            _log.warning(f"processes that don't end: {' '.join(map(str, left))}")
        for pidfd in (*self._strays, self._spawner_pidfd):
            if pidfd >= 0:
                self._loop.unwatch(pidfd)
                os.close(pidfd)
        for link in self._links:
            link.forget()

    @property
    def open_sockets(self) -> list[tuple[str, int]]:
        """Main's ends of the sockets to spawner and zygotes, and what each is."""
        ends = [("socket to the spawner", self._spawner.fileno())]
        ends += [("socket to a zygote", link.fileno()) for link in self._links]
        return [(role, fd) for role, fd in ends if fd >= 0]

    @property
    def pids(self) -> list[int]:
        """Of the processes that aren't reaped: spawner and zygotes."""
        spawner = self.spawner_pid
        return [*self.zygote_pids, *self._strays.values(), *([] if spawner is None else [spawner])]

    @property
    def spawner_pid(self) -> int | None:
        """The spawner, if it isn't reaped."""
        return self._spawner.pid if self._spawner_pidfd >= 0 else None

    @property
    def zygote_pids(self) -> list[int]:
        """The zygotes that aren't reaped."""
        return [link.pid for link in self._links if link.pid is not None]

    def _add(self, socket_fd: int) -> ZygoteLink:
        link = ZygoteLink(self._loop, socket_fd, self._deadlines, self._on_change, self._trace)
        self._links.append(link)
        self._starting.append(link)
        return link

    def _on_change(self) -> None:
        if self._closing:
            return
        for link in self._links:
            self._strays_possible |= link.may_have_strays
            link.may_have_strays = False
            if link.is_late and link in self._starting and self._spawner_pidfd >= 0:
                # It isn't the zygote that hangs: there is none yet.
                late = f"it started no zygote within {self._deadlines.zygote_s:g} s"
                self._spawner.end = f"the spawner was killed, because {late}"
                kill_child(self._spawner.pid, self._spawner_pidfd)
        self._links = [link for link in self._links if not link.is_over or link in self._starting]
        if self._strays_possible and not self._starting and all(link.is_idle for link in self._links):
            self._strays_possible = False
            self._end_strays()

    def _end_strays(self) -> None:
        """Every question is answered, so what isn't known by now is nobody's: made for a zygote's last."""
        for pid in set(own_children() or ()) - set(self._device_pids()) - set(self.pids):
            self._end_stray(pid)

    def _end_stray(self, pid: int) -> None:
        _log.warning(f"process {pid} was made by a zygote that failed before it told of it: killed")
        pidfd = os.pidfd_open(pid)
        self._strays[pidfd] = pid
        self._loop.watch(pidfd, READABLE, lambda _events: self._reap_stray(pidfd))
        kill_child(pid, pidfd)

    def _reap_stray(self, pidfd: int) -> None:
        if os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG) is not None:
            self._loop.unwatch(pidfd)
            os.close(pidfd)
            del self._strays[pidfd]

    def _on_spawner(self, _events: int) -> None:
        try:
            while (pid := self._spawner.receive_pid()) is not None:
                self._starting.pop(0).was_started(pid)
        except HostError as error:
            self._starting.pop(0).fail(str(error))
        except ChannelError as error:
            self._lose_spawner(str(error))
        self._on_change()

    def _lose_spawner(self, reason: str) -> None:
        _log.error(f"{reason}: a device process that dies by a fault can't be replaced any more")
        self._forget_spawner()
        self._spawner.close()
        # Of a zygote that it has started and not told of, main has no pid: it can't be watched.
        starting, self._starting = self._starting, []
        self._strays_possible = self._strays_possible or bool(starting)
        for link in starting:
            link.fail(reason)

    def _forget_spawner(self) -> None:
        if self._spawner.fileno() >= 0:
            self._loop.unwatch(self._spawner.fileno())

    def _on_spawner_exit(self, _events: int) -> None:
        if os.waitid(os.P_PIDFD, self._spawner_pidfd, os.WEXITED | os.WNOHANG) is None:
            return
        self._loop.unwatch(self._spawner_pidfd)
        os.close(self._spawner_pidfd)
        self._spawner_pidfd = -1
        if self._spawner.fileno() >= 0 and not self._closing:
            self._on_spawner(READABLE)
