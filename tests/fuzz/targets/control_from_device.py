"""Control packets to main: whatever a device process does, main goes on and ends the process at most.

The supervisor is the real one, with its event loop; time and processes are simulated. An input is a sequence
of what the device, the driver and the operator do.
"""

from __future__ import annotations

import _thread
import gc
import json
import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgpack

from device_procs.device_module import DevicePlan
from device_procs.device_registry import KINDS, module_of
from ipc.messages import Vocabulary, vocabulary_for
from tests.fuzz.byte_source import ByteSource
from tests.fuzz.hostile_processes import HostileDevice, HostileSpawner, send_packet
from tests.fuzz.schema_values import lowest_for, value_for
from tests.fuzz.simulated_host import SimulatedKernel, SimulatedTime, simulated_host
from vmm_main.device_supervisor import device_state, inflight_memory, last_io
from vmm_main.device_supervisor.supervisor import DeviceSupervisor
from vmm_main.event_loop import EventLoop
from vmm_main.qmp.wire_format import encode_line
from vmm_main.virtio_mmio.virtio_device import VringSetup

_IMPORTED_FIRST = (inflight_memory, last_io)  # later, it would find the real time
_QUEUES = 2
_STEPS_MAX = 200
_STATES = {value for name, value in vars(device_state).items() if name.isupper() and isinstance(value, str)}
MEMORY: Any = SimpleNamespace(
    fd=os.memfd_create("fuzzed-guest-memory"), regions=[SimpleNamespace(gpa=0, size=4096, offset=0)]
)


class _NotingTransport:
    def __init__(self) -> None:
        self.config = b""

    def needs_reset(self) -> None:
        pass

    def config_changed(self, config: bytes) -> None:
        assert len(config) <= 256
        self.config = config


class _Lease:
    def uid_for(self, device: int) -> int:
        return 65534

    gid_for = uid_for

    def close(self) -> None:
        pass


class Life:
    """One VM with one device, from its start to its end."""

    def __init__(self, source: ByteSource, clock: SimulatedTime, kernel: SimulatedKernel) -> None:
        self.source = source
        self.clock = clock
        self.kernel = kernel
        kind = source.choice(sorted(KINDS))
        options, habits = source.number(), source.number()
        module = module_of(kind)
        self.vocabulary: Vocabulary = vocabulary_for(
            module.config_schema, module.state_schema, module.metrics_schema
        )
        self.loop = EventLoop()
        self.spawner = HostileSpawner(kernel)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.spawner.request_zygote(theirs.fileno())
        theirs.close()
        self.supervisor = DeviceSupervisor(
            self.loop,
            self.spawner,  # type: ignore[arg-type]  # it is played
            ours.detach(),
            _Lease(),  # type: ignore[arg-type]  # as nobody's
            seccomp=bool(options & 1),
            trace=(lambda text: None) if options & 2 else None,
            restart_limit=1 + options // 4 % 4,
        )
        self.supervisor.connect(self._heard, lambda reason: None)
        plan = DevicePlan(lowest_for(module.config_schema), (), (64,) * _QUEUES)
        policies = ("restart", "needs-reset", "stop")
        self.supervisor.add(
            "d0",
            module,
            plan,
            (),
            on_death=policies[options // 16 % 3],
            on_restart_limit=policies[1 + options // 64 % 2],
        )
        self.device = self.supervisor.devices[0]
        self.device.transport = _NotingTransport()
        self.resets: list[_thread.LockType] = []
        if habits & 1:
            clock.before_it_passes = self._answer_in_time

    def _answer_in_time(self) -> None:
        """While main waits for it, the device does what it should."""
        self.spawner.hear(lambda _request_id: None)
        answer_soundly(self)

    def _heard(self, name: str, data: dict[str, Any]) -> None:
        json.loads(encode_line({"event": name, "data": data}))

    @property
    def process(self) -> HostileDevice | None:
        """The newest."""
        return self.spawner.devices[-1] if self.spawner.devices else None

    def settle(self) -> None:
        """Lets main and its zygotes do what they can without time passing."""
        for _ in range(4):
            self.loop.run_once(0)
            self.spawner.hear(lambda _request_id: None)
        assert self.device.state in _STATES, self.device.state

    def end(self) -> None:
        self.clock.now_s += 1  # whoever is dying is dead: main leaves him to the kernel if it ends before
        self.settle()
        self.supervisor.close()
        self.spawner.close_all()
        self.loop.close()
        assert all(lock.locked() is False for lock in self.resets), "a CPU waits for ever"


def _pack(name: str, request_id: int, fields: Any) -> bytes:
    try:
        return bytes(msgpack.packb({"m": name, "i": request_id, "f": fields}, unicode_errors="surrogatepass"))
    except OverflowError:  # of a number that msgpack can't write either
        return b""


def _say(life: Life) -> None:
    """A message of the vocabulary, and whose answer it says it is."""
    source, process = life.source, life.process
    if process is None:
        return
    name = source.choice(sorted(life.vocabulary.from_device))
    whose = source.number()
    request_id = process.asked[-1][1] if whose & 1 and process.asked else whose >> 1
    process.say(_pack(name, request_id, value_for(life.vocabulary.from_device[name], source)))


_ANSWERS = {"QUIESCE": "QUIESCED", "RESET_DEVICE": "RESET_DONE", "GET_METRICS": "METRICS"}


def answer_soundly(life: Life) -> None:
    """What a sound process would."""
    process = life.process
    if process is None:
        return
    if not process.is_ready:
        process.is_ready = True
        process.say(_pack("READY", 0, {"features": 1 << 32, "config": bytes(8)}))
    while process.asked:
        asked, request_id = process.asked.pop(0)
        answer = _ANSWERS[asked]
        fields = lowest_for(life.vocabulary.from_device[answer])
        if answer == "QUIESCED":
            fields = {"bases": [0] * _QUEUES}
        process.say(_pack(answer, request_id, fields))


def _say_raw(life: Life) -> None:
    packet = life.source.block()
    if life.process is not None:
        life.process.say(packet)


def _flood(life: Life) -> None:
    packet = _pack("LOG", 0, {"level": "info", "text": "x"})
    for _ in range(life.source.number() * 2):
        if life.process is not None:
            life.process.say(packet)


def _hang_up(life: Life) -> None:
    if life.process is not None:
        life.process.hang_up()


def _die(life: Life) -> None:
    code = life.source.choice((os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED))
    status = life.source.number()
    if life.process is not None:
        life.process.process.end(code, status)
        if status & 1:
            life.process.hang_up()


def _scribble(life: Life) -> None:
    offset, content = life.source.number(2), life.source.take(life.source.number())
    if life.process is not None:
        life.process.scribble(offset, content)


def _time_passes(life: Life) -> None:
    life.clock.now_s += (1 << life.source.number() % 18) / 1000


def _driver_begins(life: Life) -> None:
    num = 1 << life.source.number() % 7
    life.device.activate(1 << 32, [VringSetup(index, num, 0, 1024, 2048) for index in range(_QUEUES)])


def _driver_resets(life: Life) -> None:
    done = _thread.allocate_lock()
    done.acquire()
    life.resets.append(done)
    life.device.begin_reset(done)


def _driver_writes_config(life: Life) -> None:
    life.device.write_config(life.source.number(), life.source.take(life.source.number() % 9))


def _guest_reboots(life: Life) -> None:
    life.supervisor.begin_resets()
    life.supervisor.reset_now(life.device)


def _metrics(life: Life) -> None:
    metrics = life.supervisor.metrics_of(life.device)
    if metrics is not None:
        encode_line({"return": metrics})


def _zygote_says(life: Life) -> None:
    packet = life.source.block()
    if packet and life.spawner.zygotes[-1].fileno() >= 0:
        send_packet(life.spawner.zygotes[-1], packet)


_STEPS: tuple[Callable[[Life], None], ...] = (
    *(_say, answer_soundly, _say_raw, _flood, _hang_up, _die, _scribble, _time_passes),
    *(_driver_begins, _driver_resets, _driver_writes_config, _guest_reboots, _metrics, _zygote_says),
    lambda life: life.supervisor.quiesce(),
    lambda life: life.supervisor.resume(),
    lambda life: life.device.restart(),
    lambda life: life.device.kill("asked for"),
    lambda life: life.supervisor.configure_all(MEMORY),
)
_CONFIGURE = len(_STEPS) - 1


def run(data: bytes) -> None:
    """A VM's life with a hostile device, and that it leaves nothing open."""
    before = len(os.listdir("/proc/self/fd"))
    _live(data)
    gc.collect(1)  # it is garbage now: what is still in use at a collection is looked at much later
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor stays open"


def _live(data: bytes) -> None:
    with simulated_host() as (clock, kernel):
        life = Life(ByteSource(data), clock, kernel)
        life.settle()
        _STEPS[_CONFIGURE](life)
        for _ in range(_STEPS_MAX):
            if not life.source:
                break
            life.source.choice(_STEPS[:_CONFIGURE])(life)
            life.settle()
        life.end()


def dictionary() -> Iterator[bytes]:
    """Envelopes of packets, and their parts."""
    yield from (
        b"\x83\xa1m",
        b"\xa1i\x00",
        b"\xa1f\x80",
        b"\xa1f\x81",
        b"\xc4\x00",
        b"\xd9\xff",
        b"\xcf" + b"\xff" * 8,
    )
    for kind in sorted(KINDS):
        module = module_of(kind)
        words = vocabulary_for(module.config_schema, module.state_schema, module.metrics_schema).from_device
        for name in sorted(words):
            yield msgpack.packb(name)
            yield _pack(name, 0, lowest_for(words[name]))[:64]


def seeds() -> Iterator[bytes]:
    """Lives: a sound one of each kind, its steps in another order, and each message raw."""
    number = {step: place for place, step in enumerate(_STEPS)}
    say, answer, raw = (bytes((number[step],)) for step in (_say, answer_soundly, _say_raw))
    begins, resets, metrics = (bytes((number[step],)) for step in (_driver_begins, _driver_resets, _metrics))
    quiesce, resume, restart, kill = (bytes((_CONFIGURE - 4 + place,)) for place in range(4))
    passes = bytes((number[_time_passes], 17))
    for kind in range(len(KINDS)):
        for options in (0, 7, 0x10, 0x23, 0x60):
            head = bytes((kind, options, options & 1))
            yield (
                head
                + answer
                + resume
                + begins
                + b"\4"
                + metrics
                + quiesce
                + resume
                + resets
                + answer
                + restart
            )
            yield (
                head
                + answer
                + begins
                + b"\3"
                + resume
                + resets
                + passes
                + answer
                + begins
                + b"\3"
                + kill
                + passes
            )
            yield head + answer + restart + answer + kill + passes + answer + kill + passes + answer + resets
        died = bytes((number[_die], 0))
        for place, content, status in (
            (8, b"\1\0\0\0\x3b\0\0\0", 128 + 31),
            (80, b"\x0b\0\0\0\2\0\0\0", 128 + 11),
        ):
            scribbles = bytes((number[_scribble], place, 0, len(content))) + content
            yield bytes((kind, 0, 0)) + answer + scribbles + died + bytes((status,)) + passes
        words = _vocabulary(kind)
        for name in range(len(words.from_device)):
            yield bytes((kind, 0, 1)) + answer + resume + begins + b"\3" + say + bytes((name, 0)) + bytes(40)
            packet = _pack(
                sorted(words.from_device)[name],
                0,
                lowest_for(words.from_device[sorted(words.from_device)[name]]),
            )
            yield bytes((kind, 2, 0)) + raw + len(packet).to_bytes(2, "little") + packet


def _vocabulary(kind: int) -> Vocabulary:
    module = module_of(sorted(KINDS)[kind])
    return vocabulary_for(module.config_schema, module.state_schema, module.metrics_schema)
