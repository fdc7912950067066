"""A live told device: configured, its queue running, so that both threads can be told what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from device_procs.device_runtime.device import RING_FEATURES
from ipc.birth_certificate import certificate_fields
from ipc.channel import PeerGoneError
from tests.device.device_rig import DeviceRig
from tests.device.sandbox.forbidden_calls import SCRATCH
from tests.device.sandbox.told_extension import lib as told_lib
from tests.device.sandbox.told_kinds import packed_call, told_module
from tests.device.zygote.zygote_rig import ZygoteRig

CONTROL, WORKER, ZYGOTE = "control", "worker", "zygote"


class ToldRig(DeviceRig):
    """A device process that makes system calls on request."""

    def __init__(self, zygote: ZygoteRig, folder: str, first_call: bytes = b"") -> None:
        """Starts and configures it.

        Args:
            zygote: What makes the process.
            folder: Of the kind whose profiles it is under.
            first_call: What it does before it has a profile of its own.
        """
        super().__init__(told_module(folder), zygote.start, seccomp=zygote.seccomp)
        self.make_queues(16)
        self.certificate = certificate_fields(self.expect("BIRTH_CERTIFICATE")["text"])
        self.configure({"call": first_call, "scratch": SCRATCH}, ())

    def get_ready(self) -> None:
        self.expect("READY")
        self.run_queue(0, RING_FEATURES)

    def tell(self, thread: str, number: int, arguments: tuple[int, ...]) -> None:
        """Has a thread make a call."""
        offset = told_lib.TOLD_WORKER if thread == WORKER else told_lib.TOLD_CONTROL
        self.send("SET_CONFIG", offset=offset, data=packed_call(number, arguments))
        if thread == WORKER:
            try:
                self.request("GET_METRICS", "METRICS")
            except PeerGoneError:
                return  # its queue had just begun to run: it has seen the call at once, and died of it
            # The worker is told by now: wake it.
            self.queues[0].fill(16)
            self.queues[0].offer(0)

    def result(self, thread: str) -> int:
        """What the call came to."""
        while (metrics := self.request("GET_METRICS", "METRICS"))["worker_is_told"] and thread == WORKER:
            pass
        if thread == WORKER:
            self.request("QUIESCE", "QUIESCED")  # the worker has gone on: its call has returned
            metrics = self.request("GET_METRICS", "METRICS")
        result: int = metrics[f"{CONTROL if thread == ZYGOTE else thread}_result"]
        return result


@contextmanager
def told_device(zygote: ZygoteRig, folder: str, first_call: bytes = b"") -> Iterator[ToldRig]:
    rig = ToldRig(zygote, folder, first_call)
    try:
        yield rig
    finally:
        rig.close()


def black_box(rig: DeviceRig) -> Any:
    """The black box's fields, as they are now."""
    return rig.black_box.page
