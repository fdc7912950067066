"""What a device process is told: about itself when it begins, and about the driver's rings."""

from __future__ import annotations

import posix as os

from ipc.messages import PROTOCOL_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from vmm_main.device_supervisor.held_descriptors import HeldDescriptors
    from vmm_main.virtio_mmio.virtio_device import VringSetup


def configure_fields(
    held: HeldDescriptors,
    memory: list[dict[str, Any]],
    *,
    backends: int,
    queues: int,
    seccomp: bool,
    state: dict[str, Any] | None,
    is_successor: bool,
) -> dict[str, Any]:
    """The fields of CONFIGURE.

    Args:
        held: What main has for it, with its own configuration.
        memory: The table of guest memory.
        backends: How many descriptors of back ends come with it.
        queues: How many queues it has.
        seccomp: Whether its threads get their filters.
        state: The device-state record of its predecessor, if that left one.
        is_successor: Whether another process of its device was ready before.
    """
    fields: dict[str, Any] = {
        "version": PROTOCOL_VERSION,
        "config": held.config,
        "memory": memory,
        "backends": backends,
        "queues": queues,
        "inflight": held.inflight is not None,
        "seccomp": seccomp,
    }
    if state is not None:
        fields["state"] = state
    if is_successor:
        fields["successor"] = True
    return fields


def make_kick_fds(count: int) -> tuple[int, ...]:
    """Eventfds for kicks: as long as the device lives, whatever its processes do."""
    # Blocking: a worker that has nothing else to wait for waits in its read, which saves it a poll.
    return tuple(os.eventfd(0, os.EFD_CLOEXEC) for _ in range(count))


def make_call_fds(count: int) -> tuple[int, ...]:
    """Eventfds for calls."""
    # Non-blocking: a full counter must not stop whoever signals.
    return tuple(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(count))


class DriverRings:
    """The rings of a driver that has set DRIVER_OK, and the features that it has accepted."""

    __slots__ = ("features", "vrings")

    def __init__(self, features: int, vrings: list[VringSetup]) -> None:
        self.features = features
        self.vrings = vrings

    def setup_messages(self, *, fresh: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and fields of each message that gives the rings to a process, all of them still disabled.

        Args:
            fresh: Whether the driver has just set them up. They begin at 0 then; otherwise the process finds
                out where its predecessor was.
        """
        yield "SET_FEATURES", {"features": self.features}
        for vring in self.vrings:
            index = {"index": vring.index}
            yield "SET_VRING_NUM", {**index, "num": vring.num}
            yield (
                "SET_VRING_ADDR",
                {
                    **index,
                    "desc_gpa": vring.desc_gpa,
                    "avail_gpa": vring.avail_gpa,
                    "used_gpa": vring.used_gpa,
                },
            )
            yield "SET_VRING_BASE", {**index, "base": 0} if fresh else index

    def enable_messages(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and fields of each message that lets the process work on them."""
        for vring in self.vrings:
            yield "SET_VRING_ENABLE", {"index": vring.index, "enable": True}
