"""The link to one zygote, which makes device processes on request."""

from __future__ import annotations

import posix as os

from ipc.channel import Channel, ChannelError, PeerGoneError
from ipc.messages import Message
from ipc.zygote_messages import FROM_ZYGOTE
from vmm_main.device_supervisor.own_children import kill_child
from vmm_main.event_loop import READABLE
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import Any

    from vmm_main.device_supervisor.deadlines import Deadlines
    from vmm_main.event_loop import EventLoop, Timer

    OnMade = Callable[[int | None, str], None]
else:
    import _signal  # the same without enum, which costs milliseconds at every start

_log = Logger("zygote")


class ZygoteLink:
    """One zygote, from the request for it to its exit status.

    It answers in the order it is asked, so requests may be sent while it still warms up. Once its socket is
    closed it has nothing to do any more, and is killed.

    Attributes:
        pid: The zygote's, once the spawner has told it.
        may_have_strays: Whether it has failed at a request: it may have made a process that nobody was told
            of. For the supply to take note of, and to clear.
        is_late: Whether an answer hasn't come in time.
    """

    __slots__ = ("_answer_s", "_channel", "_deadlines", "_is_deaf", "_is_retired", "_loop", "_on_change",
                 "_pidfd", "_timer", "_waiting", "is_late", "may_have_strays", "pid")  # fmt: skip

    def __init__(
        self,
        loop: EventLoop,
        socket_fd: int,
        deadlines: Deadlines,
        on_change: Callable[[], None],
        trace: Callable[[str], None] | None,
    ) -> None:
        """Takes over the socket.

        Args:
            loop: Where answers are taken.
            socket_fd: Our end of the zygote's socket.
            deadlines: Of the VM.
            on_change: Called after each answer and each end.
            trace: For BULKHEAD_TRACE=ipc.
        """
        self._loop = loop
        self._deadlines = deadlines
        self._answer_s = deadlines.zygote_s  # the next one's
        self._on_change = on_change
        self._channel = Channel(socket_fd, "zygote", FROM_ZYGOTE, trace=trace)
        self._waiting: dict[int, OnMade] = {}
        self._timer: Timer | None = None
        self._is_retired = False
        self._is_deaf = False  # its socket has ended
        self._pidfd = -1
        self.pid: int | None = None
        self.is_late = False
        self.may_have_strays = False
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
        if self._timer is None:
            self._expect_answer()
        try:
            self._channel.send(Message("MAKE_DEVICE", fields, request_id, descriptors))
        except PeerGoneError:
            return  # its socket and its pidfd are watched, and its status tells why
        except ChannelError as error:
            reason = str(error)
            self._loop.call_soon(lambda: self.fail(reason))

    def fileno(self) -> int:
        """Main's end of its socket; -1 once closed."""
        return self._channel.fileno()

    @property
    def takes_requests(self) -> bool:
        """Whether it can be asked."""
        return self._channel.fileno() >= 0 and not self._is_retired and not self._is_deaf

    @property
    def is_idle(self) -> bool:
        """Whether it owes no answer, and is still asked or has been reaped: no process of its is unknown."""
        return not self._waiting and (self._channel.fileno() >= 0 or (self.pid is None and self._pidfd < 0))

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of it."""
        return self._channel.fileno() < 0 and self._pidfd < 0

    def was_started(self, pid: int) -> None:
        """The spawner's answer."""
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError as error:  # no descriptor is left
            os.kill(pid, _signal.SIGKILL)
            self.fail(f"zygote: pidfd_open: {error.strerror}")
            return
        self.pid = pid
        self._loop.watch(self._pidfd, READABLE, self._on_exit)
        if self._channel.fileno() < 0:
            self._kill()

    def retire(self) -> None:
        """Asks no more of it. What it was asked for already is still its to make."""
        self._is_retired = True
        if not self._waiting:
            self.close("")

    def fail(self, reason: str) -> None:
        """It is of no use any more: requests that wait fail."""
        if self._channel.fileno() >= 0:
            if not self._is_retired or self._waiting:
                _log.warning(reason)
            self.may_have_strays |= bool(self._waiting)
            self.close(reason)
            self._on_change()

    def close(self, reason: str) -> None:
        """Ends it; requests that wait fail."""
        if self._channel.fileno() >= 0:
            if not self._is_deaf:
                self._loop.unwatch(self._channel.fileno())
            self._channel.close()
        if self._pidfd >= 0:
            self._kill()
        self._expect_nothing()
        waiting, self._waiting = self._waiting, {}
        for on_made in waiting.values():
            on_made(None, reason)

    def forget(self) -> None:
        """Lets go of a process that somebody else has reaped."""
        if self._pidfd >= 0:
            self._loop.unwatch(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _kill(self) -> None:
        assert self.pid is not None
        kill_child(self.pid, self._pidfd)

    def _on_readable(self, _events: int) -> None:
        try:
            while self._channel.fileno() >= 0 and (message := self._channel.receive()) is not None:
                self._take(message)
        except PeerGoneError as error:
            if self._pidfd < 0:
                self.fail(str(error))
            elif not self._is_deaf:
                # Its status tells why. It closes its socket in its last moments; one that lives on is killed.
                self._is_deaf = True
                self._loop.unwatch(self._channel.fileno())
                self._kill()
        except ChannelError as error:
            self.fail(str(error))

    def _take(self, message: Message) -> None:
        on_made = self._waiting.pop(message.request_id, None)
        if on_made is None:
            told = message.fields["reason"] if message.name == "FAILED" else f"{message.name} answers nothing"
            self.fail(f"zygote: {told}")
            return
        self._expect_nothing()
        self._answer_s = self._deadlines.warm_zygote_s
        if self._waiting:
            self._expect_answer()
        elif self._is_retired:
            self.close("")
        if message.name == "MADE_DEVICE":
            on_made(message.fields["pid"], "")
        else:
            self.may_have_strays = True
            on_made(None, message.fields["reason"])
        self._on_change()

    def _expect_answer(self) -> None:
        self._timer = self._loop.call_later(self._answer_s, self._answer_is_late)

    def _answer_is_late(self) -> None:
        self.is_late = True
        self.fail(f"zygote: no answer within {self._answer_s:g} s")

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_exit(self, _events: int) -> None:
        status = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if status is None:
            return
        if self._channel.fileno() >= 0 and not self._is_deaf:
            self._on_readable(READABLE)  # its last words may say why
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        self.forget()
        how = "status" if status.si_code == os.CLD_EXITED else "signal"
        self.fail(f"zygote {self.pid} ended with {how} {status.si_status}")
        self.pid = None
        self._on_change()
