"""The control thread: a device process from CONFIGURE to its end. All its Python; no request passes here.

It never waits without watching main's socket: main's end is the process's end.
"""

from __future__ import annotations

import posix as os
import select
import sys

from device_procs.data_plane._data_plane import lib
from device_procs.device_registry import module_of
from device_procs.device_runtime.failure_text import failure_text
from device_procs.device_runtime.memory_table import map_memory
from device_procs.device_runtime.queue_workers import BASE_UNKNOWN, QueueSetup, QueueWorkers, drivers_mistake
from ipc.channel import Channel, ChannelError, PeerGoneError
from ipc.messages import Message, vocabulary_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from device_procs.device_module import DeviceModule
    from device_procs.device_runtime.device import Device
    from ipc.messages import Vocabulary

_prepared: dict[str, tuple[DeviceModule, Vocabulary]] = {}

STATUS_MAIN_GONE = 0
STATUS_FAILED = 70  # EX_SOFTWARE of <sysexits.h>; FAILED has said why


class MainsMistakeError(Exception):
    """main asks for what the protocol allows in form, but not here."""


class HostFaultError(Exception):
    """A worker can't go on, by no fault of the driver's."""


def prepare(kind: str) -> tuple[DeviceModule, Vocabulary]:
    """A kind's description and vocabulary, and its back end imported.

    The zygote calls it for each kind: what it has made isn't made again, page by page, in each process.
    """
    prepared = _prepared.get(kind)
    if prepared is None:
        module = module_of(kind)
        __import__(module.back_end)
        vocabulary = vocabulary_for(module.config_schema, module.state_schema, module.metrics_schema)
        prepared = _prepared[kind] = (module, vocabulary)
    return prepared


def run(kind: str, channel_fd: int, black_box: Any) -> NoReturn:
    """Is the device until main is gone or something fails; ends the process.

    Args:
        kind: Of the device.
        channel_fd: The control socket, owned from now on.
        black_box: struct black_box *, mapped for as long as the process lives.
    """
    module, vocabulary = prepare(kind)
    channel = Channel(channel_fd, "main", vocabulary.from_main, takes_descriptors=True)
    status = STATUS_FAILED
    try:
        ControlThread(module, channel, black_box).serve()
    except PeerGoneError:
        status = STATUS_MAIN_GONE
    except BaseException as error:  # noqa: BLE001 (the process's end: main is told, and nobody is left to raise to)
        _say_failed(channel, error)
    os._exit(status)


def _say_failed(channel: Channel, error: BaseException) -> None:
    try:
        fields: dict[str, Any] = {"reason": failure_text(error)}
        if isinstance(error, HostFaultError):
            fields = {"reason": str(error), "back_end": True, "where": fields["reason"]}
        channel.send(Message("FAILED", fields))
    except (ChannelError, OSError):
        return  # main may be what fails; it sees the status all the same


class ControlThread:
    """One device."""

    __slots__ = ("_black_box", "_channel", "_device", "_features", "_handlers", "_poll",
                 "_queues", "_stopping", "_when_stopped")  # fmt: skip

    def __init__(self, module: DeviceModule, channel: Channel, black_box: Any) -> None:
        """Waits for CONFIGURE, and makes the device up to READY.

        There is no deadline: a process may be made in advance, and wait for its VM (-standby).

        Raises:
            PeerGoneError: main has ended.
        """
        self._channel = channel
        self._black_box = black_box
        self._features = 0
        self._stopping: tuple[int, ...] = ()
        self._when_stopped: Callable[[], object] | None = None
        self._handlers: dict[str, Callable[[Message], None]] = {
            "SET_FEATURES": self._set_features,
            "SET_VRING_NUM": self._set_vring_num,
            "SET_VRING_ADDR": self._set_vring_addr,
            "SET_VRING_BASE": self._set_vring_base,
            "SET_VRING_ENABLE": self._set_vring_enable,
            "SET_CONFIG": self._set_config,
            "QUIESCE": self._quiesce,
            "RESET_DEVICE": self._reset_device,
            "GET_METRICS": self._get_metrics,
            "PING": self._ping,
        }
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)
        configure = self._wait_for_configure()
        fields = configure.fields
        self._reached(lib.STAGE_CONFIGURED)
        profile = module.back_end.split(".")[-2]
        if not fields["seccomp"]:
            lib.filters_disable()
        if fields["inflight"] == module.completes_in_order:
            raise MainsMistakeError(f"CONFIGURE with inflight={fields['inflight']}")
        memory, backends, kick_fds, call_fds, inflight_fd = _split_descriptors(configure)
        guest_memory = map_memory(memory, fields["memory"])
        self._device: Device = sys.modules[module.back_end].make_device(fields["config"], backends)
        self._device.count_in(black_box.device_counters)
        if fields.get("successor", False):
            self._device.succeed()
        self._queues = QueueWorkers(
            self._device,
            guest_memory,
            black_box,
            kick_fds,
            call_fds,
            profile=f"{profile}_worker",
            inflight_fd=inflight_fd,
        )
        self._poll.register(self._queues.report_fd, select.POLLIN)
        self._queues.start()
        self._reached(lib.STAGE_WORKERS_STARTED)
        error = lib.filters_install(f"{profile}_control".encode())
        if error < 0:
            raise OSError(-error, f"the filter {profile}_control: {os.strerror(-error)}")
        self._reached(lib.STAGE_FILTERED)
        self._send_reports()
        ready = {"features": self._device.features, "config": self._device.config_space}
        channel.send(Message("READY", ready, configure.request_id))
        self._reached(lib.STAGE_READY)

    def serve(self) -> NoReturn:
        """Does what main says, and tells it what workers report.

        Raises:
            PeerGoneError: main has ended.
            MainsMistakeError: It says what makes no sense.
            HostFaultError: A worker can't go on.
        """
        while True:
            for fd, events in self._poll.poll():
                if fd == self._queues.report_fd:
                    self._hear_workers()
                elif self._when_stopped is None:
                    message = self._channel.receive()
                    if message is not None:
                        self._obey(message)
                elif events & select.POLLHUP:
                    raise PeerGoneError("main is gone")

    def _obey(self, message: Message) -> None:
        handler = self._handlers.get(message.name)
        if handler is None:
            raise MainsMistakeError(f"{message.name}, again")
        handler(message)

    def _wait_for_configure(self) -> Message:
        while True:
            self._poll.poll()
            message = self._channel.receive()
            if message is None:
                continue
            if message.name != "CONFIGURE":
                raise MainsMistakeError(f"{message.name} before CONFIGURE")
            self._channel.stop_taking_descriptors()
            return message

    def _reached(self, stage: int) -> None:
        self._black_box.stage = stage

    def _hear_workers(self) -> None:
        """The only place where what a driver does is Python's business, and it is counted."""
        os.eventfd_read(self._queues.report_fd)
        self._black_box.python_calls += 1
        while (failure := self._queues.take_failure()) is not None:
            index, error = failure
            mistake = drivers_mistake(index, error)
            if mistake is None:
                raise HostFaultError(f"queue {index}: {os.strerror(-error)}")
            self._channel.send(Message("NEEDS_RESET", {"reason": mistake}))
        self._send_reports()
        self._answer_if_stopped()

    def _send_reports(self) -> None:
        for level, text in self._device.take_reports():
            self._channel.send(Message("LOG", {"level": level, "text": text}))

    def _stop_then(self, indexes: tuple[int, ...], then: Callable[[], object]) -> None:
        """Stops queues, and hears nothing more of main (but its end) before they have, and then() is done."""
        for index in indexes:
            self._queues.want_stopped(index)
        self._stopping = indexes
        self._when_stopped = then
        self._poll.modify(self._channel.fileno(), 0)
        self._answer_if_stopped()

    def _answer_if_stopped(self) -> None:
        then = self._when_stopped
        if then is None or not all(self._queues.is_stopped(index) for index in self._stopping):
            return
        self._when_stopped = None
        self._poll.modify(self._channel.fileno(), select.POLLIN)
        then()

    def _set_features(self, message: Message) -> None:
        features = message.fields["features"]
        if features & ~self._device.features:
            raise MainsMistakeError(f"features {features:#x} of {self._device.features:#x}")
        self._features = features
        self._device.set_features(features)

    def _index_of(self, message: Message) -> int:
        index: int = message.fields["index"]
        if index not in self._queues.indexes():
            raise MainsMistakeError(f"{message.name} of queue {index} of {len(self._queues.indexes())}")
        return index

    def _setup_of(self, message: Message) -> QueueSetup:
        index = self._index_of(message)
        if not self._queues.is_stopped(index):
            raise MainsMistakeError(f"{message.name} of queue {index}, which runs")
        return self._queues.setups[index]

    def _set_vring_num(self, message: Message) -> None:
        self._setup_of(message).addresses.num = message.fields["num"]

    def _set_vring_addr(self, message: Message) -> None:
        addresses = self._setup_of(message).addresses
        addresses.desc_gpa = message.fields["desc_gpa"]
        addresses.avail_gpa = message.fields["avail_gpa"]
        addresses.used_gpa = message.fields["used_gpa"]

    def _set_vring_base(self, message: Message) -> None:
        self._setup_of(message).base = message.fields.get("base", BASE_UNKNOWN)

    def _set_vring_enable(self, message: Message) -> None:
        index = self._index_of(message)
        if not message.fields["enable"]:
            self._stop_then((index,), lambda: self._queues.keep_base(index))
            return
        self._setup_of(message)
        mistake = self._queues.enable(index, self._features)
        if mistake is not None:
            self._channel.send(Message("NEEDS_RESET", {"reason": mistake}))

    def _set_config(self, message: Message) -> None:
        self._device.set_config(message.fields["offset"], message.fields["data"])

    def _quiesce(self, message: Message) -> None:
        def answer() -> None:
            bases = [self._queues.keep_base(index) for index in every]
            self._channel.send(Message("QUIESCED", {"bases": bases}, message.request_id))

        every = self._queues.indexes()
        self._stop_then(every, answer)

    def _reset_device(self, message: Message) -> None:
        def answer() -> None:
            self._queues.forget()
            self._features = 0
            self._device.reset()
            self._channel.send(Message("RESET_DONE", {}, message.request_id))

        self._stop_then(self._queues.indexes(), answer)

    def _ping(self, message: Message) -> None:
        self._channel.send(Message("PONG", {}, message.request_id))

    def _get_metrics(self, message: Message) -> None:
        self._channel.send(Message("METRICS", self._device.metrics(), message.request_id))


def _split_descriptors(
    configure: Message,
) -> tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:
    """Guest memory, back ends, kick and call eventfds, in-flight log or -1, as they come with CONFIGURE."""
    fields, descriptors = configure.fields, configure.descriptors
    backends, queues, inflight = fields["backends"], fields["queues"], fields["inflight"]
    expected = 1 + backends + 2 * queues + inflight
    if len(descriptors) != expected:
        raise MainsMistakeError(
            f"CONFIGURE with {len(descriptors)} descriptors; {backends} back ends, {queues} queues and "
            f"inflight={inflight} need {expected}"
        )
    kicks_at = 1 + backends
    calls_at = kicks_at + queues
    log_at = calls_at + queues
    inflight_fd = descriptors[log_at] if inflight else -1
    return (
        descriptors[0],
        descriptors[1:kicks_at],
        descriptors[kicks_at:calls_at],
        descriptors[calls_at:log_at],
        inflight_fd,
    )


def warm_up() -> None:
    """Does once what might open a file the first time: the zygote, since its processes have no file system.

    What is in memory afterwards all of them share.
    """
    try:
        _split_descriptors(Message("CONFIGURE"))
    except KeyError as error:
        failure_text(error)
