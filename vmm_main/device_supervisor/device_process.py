"""One incarnation of a device process as main sees it: socket, black box, pidfd, and the deadlines on each.

Everything the process sends is checked before it is acted on; what isn't as it should be ends the process,
not the VM.
"""

from __future__ import annotations

import _socket
import os
import signal
import time

from ipc.channel import Channel, ChannelError, PeerGoneError
from ipc.messages import Message
from vmm_main.device_supervisor.black_box import BlackBox
from vmm_main.device_supervisor.cause_of_death import Death, describe_death
from vmm_main.event_loop import READABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ipc.messages import Vocabulary
    from vmm_main.event_loop import EventLoop, Timer

# Catches a host that has stopped scheduling the process; a start takes milliseconds, in the box seconds.
START_DEADLINE_S = 60.0
# A process that is killed is gone at once, unless it hangs in the kernel (D state).
REAP_DEADLINE_S = 5.0


class ProcessListener:
    """What a DeviceProcess tells its owner; all on the event loop's thread."""

    __slots__ = ()

    def process_said(self, message: Message) -> None:
        """Something that was not asked for, or READY."""
        raise NotImplementedError

    def process_is_dying(self) -> None:
        """It was killed, or has let go of its socket: nothing more will be heard of it."""
        raise NotImplementedError

    def process_died(self, death: Death) -> None:
        """It is reaped."""
        raise NotImplementedError

    def process_stays(self) -> None:
        """It was killed and doesn't die."""
        raise NotImplementedError


class DeviceProcess:
    """One process, from the request to the zygote to its exit status."""

    __slots__ = ("_channel", "_is_dying", "_kill_when_made", "_known_reason", "_listener", "_loop", "_pidfd",
                 "_reap_timer", "_requests", "_start_timer", "_theirs", "black_box", "certificate", "name",
                 "pid", "ready_at_s")  # fmt: skip

    def __init__(
        self,
        loop: EventLoop,
        name: str,
        vocabulary: Vocabulary,
        listener: ProcessListener,
        trace: Callable[[str], None] | None,
    ) -> None:
        """Makes socket and black box; the process itself is the zygote's to make.

        Raises:
            HostError: The host is short of something.
        """
        self.name = name
        self._loop = loop
        self._listener = listener
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self._theirs = theirs
        self._channel = Channel(ours.detach(), name, vocabulary.from_device, trace=trace)
        self.black_box = BlackBox()
        self.pid: int | None = None
        self.ready_at_s: float | None = None
        self.certificate: dict[str, Any] | None = None
        self._pidfd = -1
        self._is_dying = False
        self._kill_when_made = False
        self._known_reason: str | None = None
        self._requests: dict[int, tuple[Callable[[Message], None], Timer]] = {}
        self._reap_timer: Timer | None = None
        self._start_timer: Timer | None = loop.call_later(
            START_DEADLINE_S, lambda: self.kill(f"not ready within {START_DEADLINE_S:g} s")
        )
        loop.watch(self._channel.fileno(), READABLE, self._on_readable)

    @property
    def descriptors(self) -> tuple[int, int]:
        """What the zygote gives the process: its end of the socket, and the black box."""
        return self._theirs.fileno(), self.black_box.fd

    @property
    def pidfd(self) -> int:
        """For waiting; -1 while there is no process, or none any more."""
        return self._pidfd

    def made(self, pid: int | None, reason: str) -> None:
        """The zygote's answer."""
        self._theirs.close()
        if pid is None:
            self._known_reason = reason
            self._set_dying()
            self._end(Death(f"was never made: {reason}", is_fault=True))
            return
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._loop.watch(self._pidfd, READABLE, self._on_exit)
        if self._kill_when_made:
            self._send_kill()

    def became_ready(self) -> None:
        """READY has come: the deadline of the start is over."""
        self.ready_at_s = time.monotonic()
        if self._start_timer is not None:
            self._start_timer.cancel()
            self._start_timer = None

    def send(
        self, name: str, fields: dict[str, Any] | None = None, descriptors: tuple[int, ...] = ()
    ) -> None:
        """Tells the process something; one that doesn't read is killed."""
        if not self._is_dying:
            self._send(Message(name, fields, 0, descriptors))

    def request(
        self, name: str, deadline_s: float, on_answer: Callable[[Message], None], answer: str
    ) -> None:
        """Asks the process something; one that doesn't answer with `answer` within deadline_s is killed."""
        if self._is_dying:
            return
        request_id = self._channel.new_request_id()

        def late() -> None:
            self.kill(f"{name} not answered within {deadline_s:g} s")

        def check(message: Message) -> None:
            if message.name == answer:
                on_answer(message)
            else:
                self.kill(f"answered {name} with {message.name}")

        self._requests[request_id] = (check, self._loop.call_later(deadline_s, late))
        self._send(Message(name, {}, request_id))

    def kill(self, reason: str | None) -> None:
        """Kills the process; reason is told as the cause of its death, None for an operator's wish."""
        if self._is_dying:
            return
        self._known_reason = reason
        self._set_dying()
        if self._pidfd >= 0:
            self._send_kill()
        else:
            self._kill_when_made = True

    def wait_gone(self, until_s: float) -> bool:
        """Waits for the exit status until until_s (monotonic), without the event loop: at the VM's end."""
        import select

        if self._pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(max(0.0, until_s - time.monotonic()) * 1000):
            return False
        self._on_exit(READABLE)
        return True

    def _send(self, message: Message) -> None:
        try:
            self._channel.send(message)
        except PeerGoneError:
            self._lost("closed its control socket")
        except ChannelError as error:
            self.kill(str(error))

    def _on_readable(self, _events: int) -> None:
        try:
            while not self._is_dying and (message := self._channel.receive()) is not None:
                self._take(message)
        except PeerGoneError:
            self._lost("closed its control socket")
        except ChannelError as error:
            self.kill(f"sent a malformed message: {error}")

    def _take(self, message: Message) -> None:
        if message.request_id:
            waiting = self._requests.pop(message.request_id, None)
            if waiting is None:
                self.kill(f"sent {message.name} as an answer to nothing")
                return
            on_answer, timer = waiting
            timer.cancel()
            on_answer(message)
        elif message.name == "FAILED":
            self.kill(f"said: {message.fields['reason']}")
        else:
            self._listener.process_said(message)

    def _lost(self, reason: str) -> None:
        """The socket has ended, mostly because the process has: its status tells. A survivor is killed."""
        if self._is_dying:
            return
        self._set_dying()
        if self._pidfd < 0:
            self._kill_when_made = True
            return
        if os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            # Closed by a living process, or by one whose last breath is under way: the kernel closes first.
            self._loop.call_later(REAP_DEADLINE_S / 10, lambda: self._kill_survivor(reason))

    def _kill_survivor(self, reason: str) -> None:
        if self._pidfd >= 0:
            self._known_reason = reason
            self._send_kill()

    def _send_kill(self) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended by itself meanwhile, and is reaped as any other

    def _set_dying(self) -> None:
        self._is_dying = True
        for timer in (self._start_timer, *[timer for _, timer in self._requests.values()]):
            if timer is not None:
                timer.cancel()
        self._start_timer = None
        self._requests = {}
        self._loop.unwatch(self._channel.fileno())
        self._channel.close()
        self._reap_timer = self._loop.call_later(REAP_DEADLINE_S, self._listener.process_stays)
        self._listener.process_is_dying()

    def _on_exit(self, _events: int) -> None:
        status = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        if status is None:
            return
        if not self._is_dying:
            # What it said last tells more than its status.
            self._on_readable(READABLE)
        if not self._is_dying:
            self._set_dying()
        self._loop.unwatch(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self._end(describe_death(status, self.black_box, self._known_reason))

    def _end(self, death: Death) -> None:
        if self._reap_timer is not None:
            self._reap_timer.cancel()
            self._reap_timer = None
        self.black_box.close()
        self._listener.process_died(death)
