"""A device process as the zygote makes it, not configured yet: its control socket and its certificate."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from device_procs.device_registry import module_of
from ipc.birth_certificate import certificate_fields
from ipc.channel import Channel
from ipc.messages import Message, vocabulary_for
from tests.device.zygote.zygote_rig import ZygoteRig, wait_for_end, wait_readable

KIND = "virtio-rng"


class BornDevice:
    """One process.

    Attributes:
        request_id: That it was asked for by.
        answer: The zygote's.
        pid: -1 if there is none.
    """

    def __init__(self, rig: ZygoteRig, *, wait: bool = True, **changes: Any) -> None:
        """Asks for it. wait: whether the answer is taken at once, or by take_answer()."""
        module = module_of(KIND)
        vocabulary = vocabulary_for(module.config_schema, module.state_schema, module.metrics_schema)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = Channel(ours.detach(), KIND, vocabulary.from_device)
        self.black_box_fd = os.memfd_create("black-box", os.MFD_CLOEXEC)
        os.ftruncate(self.black_box_fd, 4096)
        with theirs:
            descriptors = (theirs.fileno(), self.black_box_fd)
            self.request_id = rig.request(descriptors, **{"kind": KIND, **changes})
        self.pid = -1
        self.answer: Message
        self._rig = rig
        rig.devices += 1
        if wait:
            self.take_answer()

    def take_answer(self) -> None:
        """Waits for the zygote's next answer; one that made a process must be this one's."""
        self.answer = self._rig.next_from_zygote()
        if self.answer.name == "MADE_DEVICE":
            assert self.answer.request_id == self.request_id
        self.pid = self.answer.fields.get("pid", -1)

    def next_message(self) -> Message:
        wait_readable(self.channel.fileno(), "the device's message")
        message = self.channel.receive()
        assert message is not None
        return message

    def certificate(self) -> dict[str, Any]:
        message = self.next_message()
        assert message.name == "BIRTH_CERTIFICATE", message.fields
        return certificate_fields(message.fields["text"])

    def close(self) -> None:
        """Ends the process by closing its socket, which must be enough."""
        self.channel.close()
        os.close(self.black_box_fd)
        if self.pid > 0:
            wait_for_end(self.pid)


@contextmanager
def born_device(rig: ZygoteRig, **changes: Any) -> Iterator[BornDevice]:
    device = BornDevice(rig, **changes)
    try:
        yield device
    finally:
        device.close()
