"""How long main waits for what device processes must do, before it does without them."""

from __future__ import annotations


class Deadlines:
    """Of one VM, in seconds. Each catches a host that has stopped scheduling, or a process that won't.

    What they are for takes micro- to milliseconds, and a hundred times that on an emulated host.

    Attributes:
        start_s: From the request for a process to its READY.
        zygote_s: For a zygote's first answer, which comes after its own start.
        warm_zygote_s: For each later one.
        quiesce_s: For the requests that a device has begun when the VM stops.
        reset_s: For a reset by the driver, until the process is killed.
        metrics_s: How long QMP waits for a device's counters, which takes it a tenth of a millisecond.
        beat_s: Between two looks at every process, for one that hangs (heartbeat.py).
        hang_s: How long a process may answer nothing, or a worker of it get nowhere; in beats of main's, so
            that time in which main itself didn't run isn't counted.
        reap_s: From SIGKILL to the exit status: longer only if the process hangs in the kernel (D state).
        last_breath_s: From the end of a process's socket, or its last words, to its end.
        end_s: For all processes together when the VM ends: SIGTERM promises an end within a second.
    """

    __slots__ = ("beat_s", "end_s", "hang_s", "last_breath_s", "metrics_s", "quiesce_s", "reap_s", "reset_s",
                 "start_s", "warm_zygote_s", "zygote_s")  # fmt: skip

    def __init__(self) -> None:
        self.start_s = 60.0
        self.zygote_s = 30.0
        self.warm_zygote_s = 10.0
        self.quiesce_s = 5.0
        self.reset_s = 5.0
        self.metrics_s = 1.0
        self.beat_s = 2.0
        self.hang_s = 10.0
        self.reap_s = 10.0
        self.last_breath_s = 0.5
        self.end_s = 0.5

    @property
    def hang_beats(self) -> int:
        """hang_s in beats, the last one begun; at least one."""
        return max(1, int(-(-self.hang_s // self.beat_s)))

    @property
    def whole_reset_s(self) -> float:
        """Until who waits for a reset gives up: the process is asked, then killed, then reaped, and more."""
        return 2 * self.reset_s + self.reap_s
