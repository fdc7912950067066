"""A jailed disk process, its image, and a driver on each queue."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from device_procs.device_module import Resource
from device_procs.virtio_blk.module import MODULE, QUEUE_SIZE_MAX
from ipc.messages import Message
from tests.device.device_rig import HANGS_AFTER_S, DeviceRig
from tests.device.zygote.zygote_rig import ZygoteRig
from tools.fake_driver.disk_driver import DiskDriver
from vmm_main.device_supervisor.disk_image import open_disk_image
from vmm_main.device_supervisor.last_io import LastIo
from vmm_main.fd_sets import FdSets

FLUSH_FEATURE = 1 << 9
# What Linux takes of what is offered, with FLUSH.
ALL = (1 << 64) - 1


class DiskRig(DeviceRig):
    """One disk, configured and READY.

    Attributes:
        features: Offered.
        config_space: As the driver reads it.
        drivers: By queue; once run() was called.
    """

    def __init__(
        self,
        zygote: ZygoteRig,
        image: Path,
        *,
        queues: int = 1,
        readonly: bool = False,
        direct: bool = False,
        serial: bytes = b"",
        data_bytes: int = 65536,
        file_bytes: int | None = None,
    ) -> None:
        """Opens the image as main does, and has a process made that may write file_bytes of it."""
        self._data_bytes = data_bytes
        resource = Resource("disk-image", str(image), f"image {image}", writable=not readonly, direct=direct)
        self._opened = open_disk_image(resource, FdSets([]))
        zygote.limits = {
            **zygote.limits,
            "fsize": self._opened.file_bytes if file_bytes is None else file_bytes,
        }
        super().__init__(MODULE, zygote.start, seccomp=zygote.seccomp)
        self._config = {
            "read_only": readonly,
            "direct": direct,
            "serial": serial,
            "queues": queues,
            **self._opened.facts,
        }
        self.make_queues(*[QUEUE_SIZE_MAX] * queues)
        self.get_ready()

    def get_ready(self) -> None:
        self.expect("BIRTH_CERTIFICATE")
        self.last_io = LastIo() if self._config["direct"] else None
        backends = (self._opened.fd,) if self.last_io is None else (self._opened.fd, self.last_io.given_fd)
        self.configure(self._config, backends)
        if self.last_io is not None:
            self.last_io.gave()
        self.logged: list[str] = []
        while (message := self.next_message()).name == "LOG":
            self.logged.append(message.fields["text"])
        assert message.name == "READY", message.fields
        self.features: int = message.fields["features"]
        self.config_space: bytes = message.fields["config"]

    def run(self, features: int = ALL, *, resume: bool = False) -> DiskDriver:
        """What main does at DRIVER_OK, for all queues; the first one's driver."""
        self.accepted = features & self.features
        if not resume:
            assert self.inflight is not None
            self.inflight.clear()
        for index in range(len(self.queues)):
            self.run_queue(index, self.accepted, None if resume else 0)
        self.drivers = [DiskDriver(self.ram, queue, self._data_bytes) for queue in self.queues]
        return self.drivers[0]

    def take_over(self) -> None:
        """A successor on the same rings, as main makes one; the process before it is reaped."""
        self.wait_for_last_io()
        self.start_successor()
        self.get_ready()
        for index in range(len(self.queues)):
            self.run_queue(index, self.accepted, None)

    def wait_for_last_io(self) -> None:
        """Waits until nothing of the dead process is under way, as main does."""
        if self.last_io is not None:
            assert self.last_io.is_over(HANGS_AFTER_S), "its ring stays"
            self.last_io.close()
            self.last_io = None

    def request_or_complaint(self, name: str, until: str | None = None) -> Message:
        """A request without fields; the next message, or the next of that name."""
        self.channel.send(Message(name, {}, self.channel.new_request_id()))
        while (message := self.next_message()).name != until and until is not None:
            pass
        return message

    @property
    def image_fd(self) -> int:
        """Main's descriptor of the image."""
        return self._opened.fd

    @property
    def memory_alignment(self) -> int:
        """Of buffers, for O_DIRECT."""
        return int(self._opened.facts["memory_alignment"])

    def metrics(self) -> dict[str, Any]:
        return self.request("GET_METRICS", "METRICS")

    def close(self) -> None:
        super().close()
        self.wait_for_last_io()
        os.close(self._opened.fd)
