"""Control packets to devices: a device process does what it is told, or fails in words, and never hangs.

Control thread and workers are real, and run in this process without jail or filters.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import msgpack

from device_procs.data_plane._data_plane import ffi
from device_procs.device_registry import KINDS
from device_procs.device_runtime.control_thread import (
    ControlThread,
    HostFaultError,
    MainsMistakeError,
    prepare,
)
from device_procs.device_runtime.failure_text import failure_text
from ipc.channel import Channel, ChannelError, PeerGoneError
from ipc.messages import Message
from tests.fuzz.byte_source import ByteSource
from tests.fuzz.schema_values import lowest_for, value_for
from tests.fuzz.sound_device import sound_device
from tests.fuzz.unjailed_device import unjailed

_MEMORY_BYTES = 1 << 16
_LOG_BYTES = 1 << 13
_QUEUES_MAX = 1 + max(sound_device(kind).queues for kind in KINDS)
_PACKETS_MAX = 60
_LAST_REQUEST = 0xFFFF_FFFF
# What ends a device process is one of these, and it says it to main in words.
DOCUMENTED = (MainsMistakeError, HostFaultError, ChannelError, OSError, ValueError)

_memory = os.memfd_create("fuzzed-guest-memory")
_log = os.memfd_create("fuzzed-inflight-log")
os.ftruncate(_memory, _MEMORY_BYTES)
os.ftruncate(_log, _LOG_BYTES)
_eventfds = [os.eventfd(0, os.EFD_CLOEXEC) for _ in range(_QUEUES_MAX)]
_calls = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(_QUEUES_MAX)]


class _ChannelToMain(Channel):
    """Ends the process, as main's end does, once main has its answer to the last thing it has said."""

    __slots__ = ()

    def send(self, message: Message) -> None:
        if message.request_id == _LAST_REQUEST and message.name == "METRICS":
            raise PeerGoneError("the input ends")
        super().send(message)


def _back_ends(count: int) -> list[int]:
    """Files that can be read and written, and never end, as many as a kind wants."""
    return [os.open("/dev/zero", os.O_RDWR | os.O_CLOEXEC) for _ in range(count)]


def _configure(kind: str, source: ByteSource) -> bytes:
    """CONFIGURE as main sends it, but for what the input changes."""
    module, vocabulary = prepare(kind)
    sound = sound_device(kind)
    fields: dict[str, Any] = {
        "version": 1,
        "config": sound.config,
        "memory": [{"gpa": 0, "size": _MEMORY_BYTES, "offset": 0, "writable": True}],
        "backends": sound.backends,
        "queues": sound.queues,
        "inflight": not module.completes_in_order,
        "seccomp": False,
    }
    changed = source.number()
    schema: Any = vocabulary.from_main["CONFIGURE"]
    names = sorted({**schema.members, **schema.optional})
    if changed:
        name = names[changed % len(names)]
        fields[name] = value_for({**schema.members, **schema.optional}[name], source)
        if name == "config" and isinstance(fields["config"], dict) and "queues" in fields["config"]:
            fields["queues"] = fields["config"]["queues"]
    return _pack("CONFIGURE", 1, fields)


def _pack(name: str, request_id: int, fields: Any) -> bytes:
    try:
        return bytes(msgpack.packb({"m": name, "i": request_id, "f": fields}, unicode_errors="surrogatepass"))
    except OverflowError:  # of a number that msgpack can't write either
        return b""


def _packets(kind: str, source: ByteSource) -> Iterator[bytes]:
    _, vocabulary = prepare(kind)
    names = sorted(set(vocabulary.from_main) - {"CONFIGURE"})
    for _ in range(_PACKETS_MAX):
        if not source:
            return
        choice = source.number()
        if choice == 255:
            yield source.block()
        elif choice == 253:  # the driver writes before anything is said
            content, gpa = source.take(source.number()), source.number(2)
            os.pwrite(_memory, content[: _MEMORY_BYTES - gpa], gpa)
        elif choice == 254:
            yield _pack("CONFIGURE", 1, {})
        else:
            name = names[choice % len(names)]
            yield _pack(name, choice & 1 and 7, value_for(vocabulary.from_main[name], source))


def _descriptors(backends: int, queues: int, count: int) -> list[int]:
    return [_memory, *_back_ends(backends), *_eventfds[:queues], *_calls[:queues], _log][:count]


def run(data: bytes) -> None:
    """A device process's life with a main that says anything."""
    source = ByteSource(data)
    kind = source.choice(sorted(KINDS))
    module, vocabulary = prepare(kind)
    for fd in (_memory, _log):
        os.ftruncate(fd, 0)
    os.ftruncate(_memory, _MEMORY_BYTES)
    os.ftruncate(_log, _LOG_BYTES)
    with unjailed(kind):
        main, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        main.setblocking(False)
        sound = sound_device(kind)
        queues, less = sound.queues + source.number() % 2, source.number()
        count = 1 + sound.backends + 2 * queues + (not module.completes_in_order)
        count -= less % 4 if less > 200 else 0
        configure = _configure(kind, source)
        socket.send_fds(main, [configure], _descriptors(sound.backends, queues, max(1, count)))
        for packet in _packets(kind, source):
            if not packet:
                continue
            try:
                main.send(packet)
            except BlockingIOError:
                break
        _say_the_last(main)
        channel = _ChannelToMain(theirs.detach(), "main", vocabulary.from_main, takes_descriptors=True)
        box = ffi.new("struct black_box *")
        try:
            ControlThread(module, channel, box).serve()
        except DOCUMENTED as error:
            reason = failure_text(error)
        finally:
            channel.close()
            main.close()
    vocabulary.from_device["FAILED"].check({"reason": reason}, "FAILED")


def _say_the_last(main: socket.socket) -> None:
    try:
        main.send(_pack("GET_METRICS", _LAST_REQUEST, {}))
    except BlockingIOError:
        main.shutdown(socket.SHUT_RDWR)


def dictionary() -> Iterator[bytes]:
    """Envelopes of packets, and each message."""
    yield from (b"\x83\xa1m", b"\xa1i\x00", b"\xa1f\x80", b"\xa1f\x81", b"\xc4\x00", b"\xcf" + b"\xff" * 8)
    for kind in sorted(KINDS):
        words = prepare(kind)[1].from_main
        for name in sorted(words):
            yield msgpack.packb(name)
            yield _pack(name, 0, lowest_for(words[name]))[:64]


def seeds() -> Iterator[bytes]:
    """Lives: rings set up, run, quiesced, reset; each message alone; CONFIGUREs that can't be."""
    for kind in range(len(KINDS)):
        names = sorted(set(prepare(sorted(KINDS)[kind])[1].from_main) - {"CONFIGURE"})
        head = bytes((kind, 0, 0, 0))

        def say(name: str, fields: bytes, names: list[str] = names) -> bytes:
            return bytes((names.index(name),)) + fields

        number = {gpa: bytes((7 + 8,)) + gpa.to_bytes(2, "little") for gpa in (0, 0x1000, 0x2000)}
        index = bytes((0, 0))
        addresses = say("SET_VRING_ADDR", index + number[0] + number[0x1000] + number[0x2000])
        rings = say("SET_VRING_NUM", index + bytes((7, 16))) + addresses
        enable = say("SET_VRING_ENABLE", index + b"\1")
        features = say("SET_FEATURES", b"\0" + bytes((7 + 8 * 7,)) + (1 << 32).to_bytes(8, "little"))
        live = head + features + rings + say("SET_VRING_BASE", index) + enable
        jumped = b"\xfd\x02\x28\x00\x02\x10"  # 40 chains in a ring of 16
        yield live + jumped + say("GET_METRICS", b"\0") + say("RESET_DEVICE", b"\0")
        yield live + say("QUIESCE", b"\0") + enable + say("RESET_DEVICE", b"\0") + rings + enable
        yield (
            live + say("GET_METRICS", b"\0") + say("SET_VRING_ENABLE", index + b"\0") + say("QUIESCE", b"\0")
        )
        for name in names:
            yield head + say(name, bytes(40))
            yield live + say(name, bytes(40))
        for changed in range(1, 12):
            yield bytes((kind, 1, 0, changed)) + bytes(range(40))
        packet = _pack("GET_METRICS", 3, {})
        yield head + b"\xff" + len(packet).to_bytes(2, "little") + packet
        yield bytes((kind, 0, 201 + kind, 0))
