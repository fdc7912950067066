"""A device's control thread in this process, once for each input: what lives as long as a process is lent."""

from __future__ import annotations

import os
import posix
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_runtime import control_thread, queue_workers
from device_procs.device_runtime.memory_table import map_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Values of no account where a device process would have its own.
_ENOSYS = -38


class Library:
    """The data plane's C, with some of it replaced."""

    def __init__(self, **replaced: Callable[..., Any]) -> None:
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced.get(name) or getattr(lib, name)


_lent_queues: dict[bool, Any] = {}
_lent_logs: dict[tuple[int, int], Any] = {}


def _lend_queue(queue: Any, disk: Any) -> int:
    """blk_queue_init(), whose memory is never freed: the same again for each input."""
    bounces = disk.memory_alignment > 1
    if bounces not in _lent_queues:
        made = ffi.new("struct blk_queue *")
        assert lib.blk_queue_init(made, disk) == 0
        _lent_queues[bounces] = made
    queue[0] = _lent_queues[bounces][0]
    queue.disk = disk
    lib.blk_queue_reset(queue)
    return 0


def _lend_log(fd: int, queues: int, index: int) -> Any:
    """inflight_log_map(), which is never unmapped; all inputs have the same file."""
    if (queues, index) not in _lent_logs:
        _lent_logs[queues, index] = lib.inflight_log_map(fd, queues, index)
    return _lent_logs[queues, index]


# Per kind: what its back end mustn't do once for each input. Rings of io_uring are never ended.
_LIBRARIES = {
    "virtio-blk": Library(blk_queue_init=_lend_queue, disk_uring_init=lambda *_arguments: _ENOSYS),
}


@contextmanager
def unjailed(kind: str) -> Iterator[None]:
    """While it lasts, a control thread of that kind may be made here; its workers end with it."""
    module, _ = control_thread.prepare(kind)
    lib.filters_disable()
    before = set(posix.listdir("/proc/self/fd"))
    memories: list[Any] = []
    workers: list[Any] = []

    def map_and_note(fd: int, table: list[dict[str, Any]]) -> Any:
        memories.append(map_memory(fd, table))
        return memories[-1]

    def start_and_note(worker: Any) -> int:
        workers.append(worker)
        return int(lib.worker_start(worker))

    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(control_thread, "map_memory", map_and_note))
        c_half = Library(inflight_log_map=_lend_log, worker_start=start_and_note)
        patches.enter_context(mock.patch.object(queue_workers, "lib", c_half))
        if kind in _LIBRARIES:
            patches.enter_context(mock.patch.object(sys.modules[module.back_end], "lib", _LIBRARIES[kind]))
        try:
            yield
        finally:
            for worker in workers:
                lib.worker_deinit(worker)
            for memory in memories:
                lib.guest_memory_deinit(memory)
            for fd in set(posix.listdir("/proc/self/fd")) - before:
                _close_if_open(int(fd))


def _close_if_open(fd: int) -> None:
    try:
        os.close(fd)
    except OSError as error:
        if error.errno != 9:  # EBADF: listdir's own
            raise
