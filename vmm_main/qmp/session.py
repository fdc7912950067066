"""One client's QMP session: greeting, negotiation, commands, replies, events. Knows no descriptors.

Flow control instead of queues: a client's next command is looked at when the output of its earlier ones has
gone and its budget allows it; until then its bytes stay with the transport, and so with the client.
"""

from __future__ import annotations

import os
import time

from vmm_main.errors import BulkheadError
from vmm_main.log import Logger
from vmm_main.qmp.budget import Budget
from vmm_main.qmp.json_framing import MalformedInputError, MessageSplitter, MessageTooLongError
from vmm_main.qmp.qmp_error import COMMAND_NOT_FOUND, QmpError
from vmm_main.qmp.value_check import check_value
from vmm_main.qmp.wire_format import decode_request, encode_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from vmm_main.event_loop import EventLoop, Timer
    from vmm_main.qmp.machine_interface import MachineInterface
    from vmm_main.qmp.schema import Command
    from vmm_main.qmp.server import QmpServer

    class Transport(Protocol):
        """Carries a session's bytes."""

        @property
        def loop(self) -> EventLoop:
            """Where it is watched."""

        @property
        def has_reader(self) -> bool:
            """Whether there is still somebody who may read answers."""

        def write(self, data: bytes) -> int:
            """Takes what it can without blocking; after less than all, output_possible() follows."""

        def input_wanted(self) -> None:
            """The session has room again, after input_room() returned 0."""

        def close_connection(self) -> None:
            """Ends the connection. The session calls no other method after it."""


_log = Logger("qmp")

# At worst (nothing but brackets) half a microsecond a byte: the loop is held up for ten milliseconds.
_READ_BYTES = 16 << 10
_WRITE_BYTES = 64 << 10
_REQUEST_MEMBERS = ("execute", "arguments", "id")


class Call:
    """One command being executed: what its handler may look at."""

    __slots__ = ("arguments", "server", "session")

    def __init__(self, session: QmpSession, arguments: dict[str, Any]) -> None:
        self.session = session
        self.server = session.server
        self.arguments = arguments

    @property
    def machine(self) -> MachineInterface:
        """The VM."""
        return self.server.machine


class QmpSession:
    """The state of one client's conversation; made when the client has come."""

    __slots__ = (
        "_budget",
        "_closed",
        "_end_reason",
        "_executing",
        "_held",
        "_input_ended",
        "_limits",
        "_output",
        "_refused_room",
        "_splitter",
        "_stall_timer",
        "_transport",
        "_turn_is_over",
        "_wait_timer",
        "descriptors",
        "ending",
        "name",
        "negotiated",
        "server",
    )

    def __init__(
        self, server: QmpServer, transport: Transport, name: str, *, skip_line: bool = False
    ) -> None:
        self.server = server
        self.name = name
        self.negotiated = False
        # Received by SCM_RIGHTS and not yet taken by a command, oldest first.
        self.descriptors: list[int] = []
        # Nothing more is read; the session closes when its output has gone.
        self.ending = False
        self._end_reason = "client disconnected"
        self._transport = transport
        self._limits = server.limits
        self._splitter = MessageSplitter(self._limits.message_bytes, self._limits.nesting)
        if skip_line:
            self._splitter.skip_line()
        self._output = bytearray()
        self._budget = Budget(self._limits)
        self._turn_is_over = False
        self._wait_timer: Timer | None = None
        self._stall_timer: Timer | None = None
        self._input_ended = False
        self._closed = False
        self._executing = False
        self._refused_room = False  # while it executed or held something
        self._held: bytes | None = None  # a command that came while main waits, for when it doesn't any more

    def start(self) -> None:
        """Greets the client."""
        _log.info(f"{self.name}: client connected")
        self.server.sessions.append(self)
        self._send(self.server.greeting())

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._closed

    @property
    def has_output(self) -> bool:
        """Whether output waits for the transport."""
        return bool(self._output)

    def input_room(self) -> int:
        """How many bytes receive() may be given now; 0 until Transport.input_wanted() is called."""
        if self._closed or self.ending or self._input_ended or self._must_wait():
            return 0
        if self._executing or self._held is not None:
            self._refused_room = True
            return 0
        return min(_READ_BYTES, max(1, int(self._budget.units)) * self._limits.unit_bytes)

    def receive(self, data: bytes) -> None:
        """Takes input."""
        if self._closed or self.ending:
            return
        self._budget.spend(len(data) / self._limits.unit_bytes)
        self._splitter.feed(data)
        self._work()

    def receive_descriptors(self, descriptors: list[int]) -> None:
        """Takes descriptors that came with the input which is received next, and owns them."""
        for fd in descriptors:
            if len(self.descriptors) < self._limits.descriptors and not self._closed:
                self.descriptors.append(fd)
            else:
                os.close(fd)

    def input_ended(self) -> None:
        """The client will send nothing more; it gets the answers to what it has sent."""
        self._input_ended = True
        self._work()

    def output_possible(self) -> None:
        """The transport takes bytes again."""
        waited = self._must_wait()
        self._flush()
        self._work(waited)

    def send_event(self, line: bytes) -> None:
        """Sends an event, if the client has negotiated."""
        if self.negotiated and not self._closed:
            self._queue(line)

    def take_output(self) -> bytes:
        """Hands over the output that waits, for whoever ends the process."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def close(self, reason: str, *, fault: bool = False) -> None:
        """Ends the session; a fault of the client's is logged as a warning."""
        if self._closed:
            return
        self._closed = True
        (_log.warning if fault else _log.info)(f"{self.name}: {reason}")
        if self._wait_timer is not None:
            self._wait_timer.cancel()
            self._end_wait()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        self._output.clear()
        while self.descriptors:
            os.close(self.descriptors.pop())
        self.server.sessions.remove(self)
        self._transport.close_connection()

    # Input

    def _must_wait(self) -> bool:
        return (
            self._turn_is_over
            or self._wait_timer is not None
            or len(self._output) >= self._limits.reply_bytes
        )

    def _work(self, waited: bool = False) -> None:
        """Executes what has come completely, until the client must wait or the input is used up.

        waited: the transport was told that there is no room, and wants to be told when there is.
        """
        if self._executing or (self._held is not None and self._main_waits):
            return
        began_s = time.thread_time()  # while it waits for devices it costs nothing
        while not (self._closed or self.ending or self._wait_for_budget() or self._must_wait()):
            try:
                held, self._held = self._held, None
                message = self._splitter.next_message() if held is None else held
            except MessageTooLongError as error:
                self._budget.spend(1)
                self._fail({}, QmpError(str(error)))
                self._end("closed, its input is too long")
            except MalformedInputError as error:
                self._budget.spend(1)
                self._fail({}, QmpError(str(error)))
            else:
                if message is None:
                    break
                before_s = time.thread_time()
                if not self._execute(message):
                    return
                now_s = time.thread_time()
                self._budget.spend_time(now_s - before_s)
                if now_s - began_s >= self._limits.turn_s and not self._closed:
                    self._turn_is_over = True
                    self._transport.loop.call_soon(self._take_turn)
                    return
        if self._closed:
            return
        if self.ending or (self._input_ended and not self._must_wait()):
            self._end(self._end_reason)
        elif (waited or self._refused_room) and not self._must_wait():
            self._refused_room = False
            self._transport.input_wanted()

    @property
    def _main_waits(self) -> bool:
        """Whether main is in the middle of a command, or of what a guest asked for, and waits for devices."""
        supervisor = self.server.machine.supervisor
        return supervisor is not None and supervisor.loop.somebody_waits

    def _take_turn(self) -> None:
        self._turn_is_over = False
        self._work(waited=True)

    def _go_on(self) -> None:
        self._work(waited=True)

    def _wait_for_budget(self) -> bool:
        """Whether the client has used up its budget; a timer goes on with it once some has come back."""
        if self._wait_timer is not None:
            return True
        delay_s = self._budget.wait_s(self.server.waiting + 1)
        if delay_s == 0:
            return False
        self._wait_timer = self._transport.loop.call_later(delay_s, self._budget_is_back)
        self.server.waiting += 1
        return True

    def _budget_is_back(self) -> None:
        self._end_wait()
        self._work(waited=True)

    def _end_wait(self) -> None:
        self._wait_timer = None
        self.server.waiting -= 1

    def _end(self, reason: str) -> None:
        """Closes once the output has gone; nothing more is read."""
        self.ending = True
        self._end_reason = reason
        if not self._output:
            self.close(reason)

    # Commands

    def _execute(self, message: bytes) -> bool:
        """Answers a message; False: it is held, for when main doesn't wait any more."""
        request_id: dict[str, Any] = {}
        try:
            request = decode_request(message)
            if "id" in request:
                request_id = {"id": request["id"]}
            command, arguments = self._look_up(request)
            if not command.only_looks and self._main_waits:
                self._held = message
                self.server.machine.loop.call_soon(self._go_on)  # which runs only when nobody waits
                return False
            if command.is_query and not self._transport.has_reader:
                return True  # what it left behind when it went
            call = Call(self, arguments)
            if command.after_reply:
                self._run_later(command, call)
                result = None
            else:
                self._executing = True
                try:
                    result = command.handler(call)
                finally:
                    self._executing = False
        except QmpError as error:
            self._fail(request_id, error)
        except BulkheadError as error:
            self._fail(request_id, QmpError(str(error)))
        except Exception as error:  # noqa: BLE001  (a fault in one command must not end the VM: log it, say so)
            import traceback

            _log.error(f"{self.name}: a command failed by a fault of Bulkhead's: {traceback.format_exc()}")
            self._fail(request_id, QmpError(f"Internal error: {type(error).__name__}: {error}"))
        else:
            self._send({"return": {} if result is None else result} | request_id)
        return True

    def _look_up(self, request: dict[str, Any]) -> tuple[Command, dict[str, Any]]:
        """Returns the command asked for and its arguments, checked."""
        for member in request:
            if member not in _REQUEST_MEMBERS:
                raise QmpError(f"QMP input member '{member}' is unexpected")
        if "execute" not in request:
            raise QmpError("QMP input lacks member 'execute'")
        name = request["execute"]
        if not isinstance(name, str):
            raise QmpError("QMP input member 'execute' must be a string")
        arguments = request.get("arguments", {})
        if not isinstance(arguments, dict):
            raise QmpError("QMP input member 'arguments' must be an object")
        command = self.server.vocabulary.commands.get(name)
        if not self.negotiated and (command is None or not command.negotiation):
            raise QmpError("Expecting capabilities negotiation with 'qmp_capabilities'", COMMAND_NOT_FOUND)
        if command is None:
            raise QmpError(f"The command {name} has not been found", COMMAND_NOT_FOUND)
        if self.negotiated and command.negotiation:
            raise QmpError("Capabilities negotiation is already complete, command ignored", COMMAND_NOT_FOUND)
        check_value(arguments, command.arguments, "")
        return command, arguments

    def _run_later(self, command: Command, call: Call) -> None:
        """Runs a command once the reply has been written."""

        def run() -> None:
            command.handler(call)

        self.server.machine.loop.call_soon(run)

    # Output

    def _fail(self, request_id: dict[str, Any], error: QmpError) -> None:
        self._send({"error": {"class": error.error_class, "desc": str(error)}} | request_id)

    def _send(self, message: dict[str, Any]) -> None:
        self._queue(encode_line(message))

    def _queue(self, line: bytes) -> None:
        if self._closed:
            return
        self._output += line
        self._flush()
        if len(self._output) > self._limits.output_bytes:
            self.close(f"closed, the client leaves {len(self._output)} bytes of output unread", fault=True)

    def _flush(self) -> None:
        """Gives the transport what it takes, and watches that it takes something now and then."""
        progress = False
        while self._output and not self._closed:
            taken = self._transport.write(bytes(self._output[:_WRITE_BYTES]))
            if taken == 0:
                break
            progress = True
            del self._output[:taken]
        if self._stall_timer is not None and (progress or not self._output):
            self._stall_timer.cancel()
            self._stall_timer = None
        if self._output and self._stall_timer is None and not self._closed:
            self._stall_timer = self._transport.loop.call_later(self._limits.stall_s, self._stalled)

    def _stalled(self) -> None:
        self._stall_timer = None
        self.close(
            f"closed, the client took no byte of {len(self._output)} in {self._limits.stall_s:g} s",
            fault=True,
        )
