"""One incarnation of a device process as main sees it: socket, black box, pidfd, and the deadlines on each.

Everything the process sends is checked before it is acted on; what isn't as it should be ends the process,
not the VM.
"""

from __future__ import annotations

import _socket
import posix as os
import time

from ipc.channel import Channel, ChannelError, PeerGoneError
from ipc.messages import Message
from vmm_main.device_supervisor.black_box import BlackBox
from vmm_main.device_supervisor.cause_of_death import Death, describe_death
from vmm_main.device_supervisor.talk_limit import MESSAGES_AT_ONCE, TalkLimit
from vmm_main.errors import HostError
from vmm_main.event_loop import READABLE
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import Any

    from ipc.messages import Vocabulary
    from vmm_main.device_supervisor.deadlines import Deadlines
    from vmm_main.device_supervisor.device_counters import DeviceCounters
    from vmm_main.device_supervisor.last_io import LastIo
    from vmm_main.event_loop import EventLoop, Timer
else:
    import _signal  # the same without enum, which costs milliseconds at every start

_log = Logger("supervisor")

# So many are taken before others get their turn.
_MESSAGES_PER_TURN = 32


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

    __slots__ = ("_backends", "_channel", "_counters", "_deadlines", "_death", "_is_dying",
                 "_kill_when_made", "_killed_by_main", "_known_reason", "_last_io", "_listener", "_loop",
                 "_pidfd", "_reap_timer", "_requests", "_start_timer", "_talk", "_theirs", "black_box",
                 "certificate", "control_inode", "is_silent", "last_io_inode", "name", "pid",
                 "ready_at_s")  # fmt: skip

    def __init__(
        self,
        loop: EventLoop,
        name: str,
        vocabulary: Vocabulary,
        listener: ProcessListener,
        *,
        deadlines: Deadlines,
        trace: Callable[[str], None] | None,
        counters: DeviceCounters,
        last_io: LastIo | None = None,
        backends: str = "",
    ) -> None:
        """Makes socket and black box; the process itself is the zygote's to make.

        Args:
            loop: Where it is watched.
            name: Its device's id.
            vocabulary: Of its kind.
            listener: Who is told.
            deadlines: How long main waits.
            trace: Gets each message, as text.
            counters: Of its device, to which those of the process are added when it is dead.
            last_io: Tells when its I/O is over, of a process whose I/O may outlive it; owned from now on.
            backends: How the user asked for what it works on.

        Raises:
            HostError: The host is short of something.
        """
        self.name = name
        self._loop = loop
        self._listener = listener
        self._deadlines = deadlines
        self.black_box = BlackBox()
        try:
            ours, self._theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        except OSError as error:
            self.black_box.close()
            raise HostError(f"can't make a device's control socket: {error.strerror}") from error
        # What these are in the process's /proc, once main has let go of its ends.
        self.control_inode = os.fstat(self._theirs.fileno()).st_ino
        self.last_io_inode = None if last_io is None else last_io.given_inode
        self._channel = Channel(ours.detach(), name, vocabulary.from_device, trace=trace)
        self.pid: int | None = None
        self.ready_at_s: float | None = None
        self.certificate: bytes | None = None  # unread: ipc/birth_certificate.py
        self.is_silent = False  # its counters were waited for in vain, and it hasn't told them since
        self._pidfd = -1
        self._counters = counters
        self._last_io = last_io
        self._backends = backends
        self._death: Death | None = None  # of a process that is reaped, while its I/O isn't over
        self._is_dying = False
        self._kill_when_made = False
        self._killed_by_main = False
        self._known_reason: str | None = None
        self._talk = TalkLimit(time.monotonic())
        self._requests: dict[int, tuple[Callable[[Message], None], Timer | None]] = {}
        self._reap_timer: Timer | None = None
        self._start_timer: Timer | None = loop.call_later(deadlines.start_s, self._start_is_late)

    @property
    def descriptors(self) -> tuple[int, int]:
        """What the zygote gives the process: its end of the socket, and the black box."""
        return self._theirs.fileno(), self.black_box.fd

    @property
    def open_sockets(self) -> list[int]:
        """Main's ends of its sockets, and the other ones until they are given."""
        ends = [self._channel.fileno(), self._theirs.fileno()]
        ends += [] if self._last_io is None else self._last_io.open_fds
        return [fd for fd in ends if fd >= 0]

    def made(self, pid: int | None, reason: str) -> None:
        """The zygote's answer: the pid, or why there is none."""
        self._theirs.close()
        if pid is not None:
            try:
                self._pidfd = os.pidfd_open(pid)
            except OSError as error:  # no descriptor is left
                os.kill(pid, _signal.SIGKILL)
                pid, reason = None, f"pidfd_open: {error.strerror}"
        if pid is None:
            if not self._is_dying:
                self._set_dying()
            killed_for = self._known_reason if self._killed_by_main else None
            self._end(Death(killed_for or f"was never made: {reason}", is_fault=False))
            return
        self.pid = pid
        self._loop.watch(self._pidfd, READABLE, self._on_exit)
        if self._kill_when_made:
            self._send_kill()
        if not self._is_dying:
            # Not before: it may be quicker with its READY than the zygote with its answer.
            self._loop.watch(self._channel.fileno(), READABLE, self._on_readable)

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
            if name == "SET_VRING_ENABLE" and fields is not None:
                self._talk.gave_queue(fields["index"])
            self._send(Message(name, fields, 0, descriptors))

    def request(
        self, name: str, deadline_s: float | None, on_answer: Callable[[Message], None], answer: str
    ) -> None:
        """Asks the process something; one that doesn't answer with `answer` within deadline_s is killed.

        With None the caller counts the time.
        """
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

        timer = None if deadline_s is None else self._loop.call_later(deadline_s, late)
        self._requests[request_id] = (check, timer)
        self._send(Message(name, {}, request_id))

    @property
    def is_up(self) -> bool:
        """Whether it has become ready, and is neither killed nor gone."""
        return self.ready_at_s is not None and not self._is_dying

    @property
    def owes_answer(self) -> bool:
        """Whether it has been asked something, and hasn't answered yet."""
        return bool(self._requests)

    @property
    def last_io_fds(self) -> tuple[int, ...]:
        """What the process is to hold for as long as its I/O lasts, if that may be longer than it lives."""
        return () if self._last_io is None else (self._last_io.given_fd,)

    def gave_descriptors(self) -> None:
        """CONFIGURE is sent, and what only the process must hold with it."""
        if self._last_io is not None:
            self._last_io.gave()

    def kill(self, reason: str | None) -> None:
        """Kills the process; reason is told as the cause of its death, None for an operator's wish."""
        if self._is_dying:
            return
        self._killed_by_main, self._known_reason = True, reason
        self._send_kill()  # first: the end of its socket would have it end by itself
        self._set_dying()

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
        if self._death is None or self._last_io is None:
            return True
        if not self._last_io.is_over(max(0.0, until_s - time.monotonic())):
            return False
        self._on_last_io(0)
        return True

    def _send(self, message: Message) -> None:
        try:
            self._channel.send(message)
        except PeerGoneError:
            self._let_die()
        except ChannelError as error:
            self.kill(str(error))

    def _on_readable(self, _events: int) -> None:
        try:
            for _ in range(_MESSAGES_PER_TURN):
                message = None if self._is_dying else self._channel.receive()
                if message is None:
                    return
                self._take(message)
        except PeerGoneError:
            self._let_die()
        except ChannelError as error:
            self.kill(f"sent a malformed message: {error}")

    def _take(self, message: Message) -> None:
        if message.request_id:
            waiting = self._requests.pop(message.request_id, None)
            if waiting is None:
                self.kill(f"sent {message.name} as an answer to nothing")
                return
            if message.name == "RESET_DONE":
                self._talk.was_reset()
            on_answer, timer = waiting
            if timer is not None:
                timer.cancel()
            on_answer(message)
        elif not self._talk.admit(message.name, time.monotonic()):
            self.kill(f"sent more than {MESSAGES_AT_ONCE} messages that nobody had asked for")
        elif message.name == "FAILED":
            self._let_die(self._last_words(message.fields))
        else:
            self._listener.process_said(message)

    def _last_words(self, fields: dict[str, Any]) -> str:
        said = f"said: {ascii(fields['reason'])[1:-1]}"
        if "where" in fields:
            _log.info(f"device {self.name}: its process failed: {ascii(fields['where'])[1:-1]}")
        return f"{said}, of {self._backends}" if fields.get("back_end", False) else said

    def _start_is_late(self) -> None:
        self.kill(f"not ready within {self._deadlines.start_s:g} s")

    def _let_die(self, last_words: str | None = None) -> None:
        """It has ended its socket or said its last: its status will tell more. A survivor is killed."""
        if self._is_dying:
            return
        self._known_reason = last_words
        self._set_dying()
        reason = last_words or "closed its control socket"
        if self._pidfd < 0:
            self._known_reason, self._kill_when_made = reason, True
        elif not self._has_exited():
            # Closed by a living process, or by one whose last breath is under way: the kernel closes first.
            self._loop.call_later(self._deadlines.last_breath_s, lambda: self._kill_survivor(reason))

    def _kill_survivor(self, reason: str) -> None:
        if self._pidfd >= 0:
            self._known_reason = reason
            self._send_kill()

    def _send_kill(self) -> None:
        if self._pidfd < 0:
            self._kill_when_made = True
            return
        _signal.pidfd_send_signal(self._pidfd, _signal.SIGKILL)
        if self._reap_timer is None:
            self._reap_timer = self._loop.call_later(self._deadlines.reap_s, self._listener.process_stays)

    def _set_dying(self) -> None:
        self._is_dying = True
        if self._last_io is not None:
            self._last_io.gave()
        for timer in (self._start_timer, *[timer for _, timer in self._requests.values()]):
            if timer is not None:
                timer.cancel()
        self._start_timer = None
        self._requests = {}
        if self.pid is not None:
            self._loop.unwatch(self._channel.fileno())
        self._channel.close()
        self._listener.process_is_dying()

    def _has_exited(self) -> bool:
        """Whether the process is there to be reaped; it stays so."""
        return os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _on_exit(self, _events: int) -> None:
        if not self._has_exited():
            return
        # What it said last tells more than its status.
        for _ in range(MESSAGES_AT_ONCE // _MESSAGES_PER_TURN):
            if not self._is_dying:
                self._on_readable(READABLE)
        if not self._is_dying:
            self._set_dying()
        status = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        assert status is not None
        self._loop.unwatch(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        death = describe_death(
            status,
            self.black_box,
            self._known_reason,
            was_ready=self.ready_at_s is not None,
            killed_by_main=self._killed_by_main,
        )
        self._end_after_last_io(death)

    def _end_after_last_io(self, death: Death) -> None:
        if self._last_io is None or self._last_io.is_over():
            self._end(death)
            return
        self._death = death
        self._loop.watch(self._last_io.fileno(), 0, self._on_last_io)
        if self._reap_timer is None:
            self._reap_timer = self._loop.call_later(self._deadlines.reap_s, self._listener.process_stays)

    def _on_last_io(self, _events: int) -> None:
        assert self._last_io is not None
        assert self._death is not None
        self._loop.unwatch(self._last_io.fileno())
        self._end(self._death)

    def _end(self, death: Death) -> None:
        if self._reap_timer is not None:
            self._reap_timer.cancel()
            self._reap_timer = None
        self._counters.add(self.black_box)
        self.black_box.close()
        if self._last_io is not None:
            self._last_io.close()
        self._listener.process_died(death)
