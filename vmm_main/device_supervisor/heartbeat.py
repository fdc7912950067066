"""How main finds a device process that hangs while nobody asks it for anything (docs/decisions/0020).

At each beat, one timer for all devices, it asks every control thread for an answer and looks at what the
workers have written into the black box. Time is counted in beats, of which a late one is one: while main
itself didn't run, nobody is late. What hangs is killed, and the policy does the rest.

A process that was taken over can answer and count for ever: it isn't found here, and harms its guest only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ipc.messages import Message
    from vmm_main.device_supervisor.black_box import BlackBox
    from vmm_main.device_supervisor.device_process import DeviceProcess
    from vmm_main.device_supervisor.supervisor import DeviceSupervisor


class Heartbeat:
    """Of all devices of one VM, until its supervisor closes."""

    __slots__ = ("_pulses", "_supervisor")

    def __init__(self, supervisor: DeviceSupervisor) -> None:
        self._supervisor = supervisor
        self._pulses: dict[str, Pulse] = {}

    def beat(self) -> None:
        """Looks at every process that is up, and comes again."""
        supervisor = self._supervisor
        if supervisor.is_closing:
            return
        deadlines = supervisor.deadlines
        for device in supervisor.devices:
            process = device.process
            if process is None or not process.is_up:
                continue
            pulse = self._pulses.get(device.device_id)
            if pulse is None or pulse.process is not process:
                pulse = self._pulses[device.device_id] = Pulse(process, len(device.queue_max_sizes))
            hang = pulse.feel(deadlines.hang_beats)
            if hang is not None:
                process.kill(f"hung: {hang} for {deadlines.hang_s:g} s")
            for number in pulse.slow_workers:
                text = f"worker thread {number} has waited for its back end for {deadlines.hang_s:g} s"
                supervisor.report_slow_host(device.device_id, f"{text}: the host is slow, or hangs")
        supervisor.loop.call_later(deadlines.beat_s, self.beat)


class Pulse:
    """What is known of one process from beat to beat.

    Attributes:
        process: Whose it is.
        slow_workers: Who, as of this beat, has waited for the host for so long that people should know.
    """

    __slots__ = ("_is_asked", "_queues", "_unanswered", "_workers", "process", "slow_workers")

    def __init__(self, process: DeviceProcess, queues: int) -> None:
        self.process = process
        self._queues = queues
        self._is_asked = False
        self._unanswered = 0  # beats since then
        # Of each worker at work: what it had come to, and how many beats ago.
        self._workers: dict[int, tuple[WorkerLife, int]] = {}
        self.slow_workers: list[int] = []

    def feel(self, patience: int) -> str | None:
        """Takes one beat.

        Args:
            patience: After how many beats without a sign of life something hangs.

        Returns:
            What hangs, in words.
        """
        if self._control_hangs(patience):
            return "its control thread has answered nothing"
        return self._hung_worker(patience)

    def _control_hangs(self, patience: int) -> bool:
        if self._is_asked:
            self._unanswered += 1
            return self._unanswered >= patience
        # What else it was asked has a deadline of its own; a QUIESCE or a reset is heard to its end first.
        if not self.process.owes_answer:
            self._is_asked = True
            self._unanswered = 0
            self.process.request("PING", None, self._on_pong, "PONG")
        return False

    def _on_pong(self, _message: Message) -> None:
        self._is_asked = False

    def _hung_worker(self, patience: int) -> str | None:
        hung = None
        known, self._workers, self.slow_workers = self._workers, {}, []
        for number, life in worker_lives(self.process.black_box, self._queues).items():
            if not life.is_at_work:
                continue
            before = known.get(number)
            beats = before[1] + 1 if before is not None and before[0].is_same(life) else 0
            self._workers[number] = life, beats
            if beats >= patience and not life.is_in_host_call:
                hung = f"worker thread {number} has got nowhere"
            elif beats == patience:
                self.slow_workers.append(number)
        return hung


class WorkerLife:
    """How far a worker and its queues had come at one moment, as its process has written it down."""

    __slots__ = ("_done", "_host_calls", "_turns")

    def __init__(self) -> None:
        self._turns = 0
        self._host_calls = 0
        self._done: list[tuple[int, int]] = []

    def add_queue(self, turns: int, host_calls: int, done: tuple[int, int]) -> None:
        """One of its queues, as BlackBox.queue_life() tells it."""
        self._turns += turns
        self._host_calls += host_calls
        self._done.append(done)

    @property
    def is_at_work(self) -> bool:
        """Whether it wasn't waiting for a kick, or for what its device waits for."""
        return self._turns % 2 == 1

    @property
    def is_in_host_call(self) -> bool:
        """Whether it was in a system call on its back end."""
        return self._host_calls % 2 == 1

    def is_same(self, other: WorkerLife) -> bool:
        """Whether it had come no further: no other turn, no other call, nothing popped nor completed."""
        mine = (self._turns, self._host_calls, self._done)
        return mine == (other._turns, other._host_calls, other._done)


def worker_lives(box: BlackBox, queues: int) -> dict[int, WorkerLife]:
    """Of each worker by its number; a hostile process may have made up what it likes."""
    lives: dict[int, WorkerLife] = {}
    for index in range(queues):
        number, turns, host_calls, done = box.queue_life(index)
        life = lives.get(number)
        if life is None:
            life = lives[number] = WorkerLife()
        life.add_queue(turns, host_calls, done)
    return lives
