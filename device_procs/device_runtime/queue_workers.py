"""A device's queues and the worker threads that serve them, as the control thread sees them.

Nothing here waits for a worker: a stop is asked for, and is_stopped() tells once the report descriptor is
readable.
"""

from __future__ import annotations

import posix as os

from device_procs.data_plane._data_plane import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from device_procs.device_runtime.device import Device

BASE_UNKNOWN = -1  # resume from used.idx


class QueueSetup:
    """Where the driver has put a queue, as main has told so far."""

    __slots__ = ("addresses", "base")

    def __init__(self) -> None:
        self.addresses = ffi.new("struct virtqueue_addresses *")
        self.base = BASE_UNKNOWN


class QueueWorkers:
    """All queues of one device."""

    __slots__ = ("_black_box", "_logs", "_memory", "_places", "_profile", "_workers", "report_fd", "setups")

    def __init__(
        self,
        device: Device,
        memory: Any,
        black_box: Any,
        kick_fds: tuple[int, ...],
        call_fds: tuple[int, ...],
        *,
        profile: str,
        inflight_fd: int = -1,
    ) -> None:
        """Lays the workers out; start() starts them.

        Args:
            device: Whose queue sets and operations they are.
            memory: struct guest_memory *.
            black_box: struct black_box *.
            kick_fds: A descriptor per queue.
            call_fds: A descriptor per queue.
            profile: The workers' seccomp profile.
            inflight_fd: The in-flight log of a device that doesn't complete in order; closed here.

        Raises:
            ValueError: The device's queue sets aren't the queues there are.
        """
        served = sorted(index for queue_set in device.queue_sets for index in queue_set)
        if served != list(range(len(kick_fds))):
            raise ValueError(f"{len(kick_fds)} queues, but the device serves {served}")
        self._black_box = black_box
        self._memory = memory
        self._profile = ffi.new("char[]", profile.encode())
        self._workers: list[Any] = []
        self._places: dict[int, tuple[Any, int]] = {}  # queue index -> its worker, its place there
        self.report_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        for number, queue_set in enumerate(device.queue_sets):
            worker = ffi.new("struct worker *")
            lib.worker_init(worker)
            worker.ops, worker.device = device.operations(number)
            worker.life = black_box.queues + queue_set[0]
            worker.profile = self._profile
            worker.number = number
            worker.report_fd = self.report_fd
            worker.count = len(queue_set)
            for place, index in enumerate(queue_set):
                worker.queues[place].kick_fd = kick_fds[index]
                worker.queues[place].call_fd = call_fds[index]
                black_box.queues[index].worker = number
                self._places[index] = (worker, place)
            self._workers.append(worker)
        self.setups = [QueueSetup() for _ in kick_fds]
        self._logs = _map_logs(inflight_fd, len(kick_fds)) if inflight_fd >= 0 else None

    def indexes(self) -> tuple[int, ...]:
        """All queues there are."""
        return tuple(range(len(self.setups)))

    def start(self) -> None:
        """Starts the threads, each of which puts its filter on.

        Raises:
            OSError: A thread or its filter can't be made.
        """
        for worker in self._workers:
            error = lib.worker_start(worker)
            if error < 0:
                raise OSError(-error, f"worker {worker.number} can't start: {os.strerror(-error)}")

    def enable(self, index: int, features: int) -> str | None:
        """Lets a stopped queue run.

        Returns:
            The driver's mistake in words, or None.
        """
        worker, place = self._places[index]
        queue = worker.queues[place]
        setup = self.setups[index]
        virtqueue = ffi.addressof(queue, "virtqueue")
        counters = self._black_box.queues + index
        error = lib.virtqueue_start(
            virtqueue, self._memory, counters, index, setup.addresses, features, setup.base
        )
        resumes = setup.base == BASE_UNKNOWN
        if error == 0 and self._logs is not None:
            log, room = self._logs[index]
            fits = setup.addresses.num <= room
            error = lib.virtqueue_keep_log(virtqueue, log, resumes) if fits else lib.VIRTQ_BAD_SIZE
        if error < 0:
            return _in_words(index, error)
        queue.error = 0
        queue.signal_first = resumes
        lib.worker_want(worker, place, 1)
        return None

    def is_stopped(self, index: int) -> bool:
        """Whether the queue's worker doesn't touch it, and won't before the next enable()."""
        worker, place = self._places[index]
        stopped: bool = lib.worker_state(worker, place) == lib.WORKER_QUEUE_STOPPED
        wanted: bool = worker.queues[place].wanted != 0
        return stopped and not wanted

    def want_stopped(self, index: int) -> None:
        """Asks for a queue to stop, between two requests and with none in flight."""
        worker, place = self._places[index]
        lib.worker_want(worker, place, 0)

    def keep_base(self, index: int) -> int:
        """The next available entry of a stopped queue, 0 if it has never run; an enable() goes on there."""
        worker, place = self._places[index]
        virtqueue = ffi.addressof(worker.queues[place], "virtqueue")
        base: int = virtqueue.next_avail
        # A successor that was stopped before it began has what was in flight still in the log.
        if lib.virtqueue_replays_left(virtqueue) == 0:
            self.setups[index].base = base
        return base

    def forget(self) -> None:
        """Forgets where the driver put its queues; all are stopped."""
        for index, (worker, place) in self._places.items():
            self.setups[index] = QueueSetup()
            worker.queues[place].error = 0
            virtqueue = ffi.addressof(worker.queues[place], "virtqueue")
            lib.virtqueue_init(virtqueue)

    def take_failure(self) -> tuple[int, int] | None:
        """Index and error (below 0) of a queue that has failed and wasn't told of before, or None."""
        for index, (worker, place) in self._places.items():
            queue = worker.queues[place]
            if lib.worker_state(worker, place) == lib.WORKER_QUEUE_FAILED and queue.error < 0:
                error: int = queue.error
                queue.error = 0
                return index, error
        return None


def _map_logs(inflight_fd: int, queues: int) -> list[tuple[Any, int]]:
    """Each queue's log, and how many entries it has room for."""
    room = lib.inflight_log_room(os.fstat(inflight_fd).st_size, queues)
    logs = [lib.inflight_log_map(inflight_fd, queues, index) for index in range(queues)]
    os.close(inflight_fd)
    if ffi.NULL in logs:
        raise ValueError(f"an in-flight log that isn't one for {queues} queues")
    return [(log, room) for log in logs]


def _in_words(index: int, error: int) -> str:
    return f"queue {index}: {ffi.string(lib.virtqueue_error_text(error)).decode()}"


def drivers_mistake(index: int, error: int) -> str | None:
    """A queue's error in words if it is the driver's doing, None if it is a fault of the host (-errno)."""
    if lib.virtqueue_error_text(error) == ffi.NULL:
        return None
    return _in_words(index, error)
