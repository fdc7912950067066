"""Packets that aren't what they should be: in form, in number, in order, in what they answer."""

from __future__ import annotations

import _socket
import os
import struct

from tests.device.hostile_device.attack import METRICS, RESET, STOP, Attack
from tests.device.hostile_device.hostile_process import HostileProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Act = Callable[[HostileProcess], object]

_MALFORMED = "sent a malformed message: bad: .*"
_FLOOD = "sent more than 200 messages that nobody had asked for"
# msgpack's formats with a length of 32 bits, of which there is nothing.
_ARRAY_32, _MAP_32, _STR_32, _BIN_32 = b"\xdd", b"\xdf", b"\xdb", b"\xc6"
_LIES = struct.pack(">I", 0xFFFFFFFF)
_FIXEXT_1, _EXT_8 = b"\xd4\x01x", b"\xc7\x00\x05"
_ENVELOPE = b"\x83\xa1m\xa3LOG\xa1i\x00\xa1f"


def _sent(name: str, packet: bytes, dies: str = _MALFORMED) -> Attack:
    def act(it: HostileProcess) -> None:
        it.send(packet)
        it.be_silent()

    return Attack(name, act, dies=dies)


def _said(text: str, name: object, request_id: object, fields: object, dies: str = _MALFORMED) -> Attack:
    def act(it: HostileProcess) -> None:
        it.send(it.packet(name, request_id, fields))
        it.be_silent()

    return Attack(text, act, dies=dies)


_LOG = {"level": "info", "text": "x"}

FORMS = (
    _sent("an empty packet", b"", ".*an empty packet"),
    _sent("a byte that begins nothing", b"\xc1"),
    _sent("noise", bytes(range(256)) * 16),
    _sent("half a packet", _ENVELOPE + b"\x82\xa5level\xa4in"),
    _sent("two packets in one", 2 * (_ENVELOPE + b"\x82\xa5level\xa4info\xa4text\xa0")),
    _sent("oversized", bytes(70_000), ".*a packet over 65536 bytes"),
    _sent("the largest that the socket takes", bytes(200_000), ".*a packet over 65536 bytes"),
    _sent("65536 bytes of small numbers", _ENVELOPE + b"\xdc\xfd\xe8" + b"\x01" * 65_000),
    _sent("nested without end", b"\x91" * 65_000),
    _sent("maps nested in a message", _ENVELOPE + b"\x81\xa1x" * 20_000),
    _sent("thousands of keys", _ENVELOPE + b"\xde\x4e\x20" + b"".join(
        b"\xce" + struct.pack(">I", key) for key in range(12_000))),
    *(_sent(f"a length of 4 GiB, {what}", _ENVELOPE + form + _LIES + b"x" * 100)
      for what, form in (("list", _ARRAY_32), ("map", _MAP_32), ("text", _STR_32), ("bytes", _BIN_32))),
    _sent("an extension", _ENVELOPE + _FIXEXT_1),
    _sent("an extension of nothing", _ENVELOPE + _EXT_8),
    _sent("text that isn't UTF-8", _ENVELOPE + b"\x82\xa5level\xa4info\xa4text\xa2\xed\xa0"),
    _sent("half a surrogate pair", _ENVELOPE + b"\x82\xa5level\xa4info\xa4text\xa3\xed\xa0\x80"),
    _said("an unknown message", "NONSENSE\n\x1b[2J" * 40, 0, {}),
    _said("a message of main's", "QUIESCE", 0, {}),
    _said("a message without a name", None, 0, {}),
    _said("a list for a name", ["LOG"], 0, _LOG),
    _said("a negative number", "LOG", -1, _LOG),
    _said("a number over 32 bits", "LOG", 1 << 32, _LOG),
    _said("true for a number", "LOG", True, _LOG),
    _said("a list for fields", "LOG", 0, [_LOG]),
)  # fmt: skip


def _twice(it: HostileProcess) -> None:
    it.say("READY", features=it.thread._device.features, config=bytes(it.thread._device.config_space))
    it.be_silent()


def _flood_of(name: str, fields: object) -> Attack:
    return Attack(f"a flood of {name}", lambda it: it.flood(it.packet(name, 0, fields)), dies=_FLOOD)


def _flood_of_configs(it: HostileProcess) -> None:
    it.flood(it.packet("CONFIG_CHANGED", 0, {"config": bytes(it.thread._device.config_space)}))


def _flood_of_answers(it: HostileProcess) -> None:
    it.flood(it.packet("RESET_DONE", 4242, {}))


def _descriptor(it: HostileProcess) -> None:
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", it.socket.fileno()))]
    it.socket.sendmsg([it.packet("LOG", 0, _LOG)], rights)


def _last_words(it: HostileProcess) -> None:
    it.say("FAILED", reason="first\nsecond \x1b[2J" + "x" * 900, where="\r\n\x1b]0;x\x07")
    it.be_silent()


ORDERS = (
    Attack("READY twice", _twice, dies="sent READY while (ready|running)"),
    _said("a certificate too late", "BIRTH_CERTIFICATE", 0, {"text": b""}, "sent BIRTH_CERTIFICATE while .*"),
    _said("an answer to nothing", "RESET_DONE", 4242, {}, "sent RESET_DONE as an answer to nothing"),
    _said("an answer without a number", "QUIESCED", 0, {"bases": []}, "sent QUIESCED while .*"),
    _said("a log message as an answer", "LOG", 7, _LOG, "sent LOG as an answer to nothing"),
    _said("a config space of another size", "CONFIG_CHANGED", 0, {"config": b"x" * 99},
          "changed the size of its config space"),
    _flood_of("LOG", {"level": "error", "text": "\x1b[2J" * 250}),
    _flood_of("NEEDS_RESET", {"reason": "again"}),
    Attack("a flood of CONFIG_CHANGED", _flood_of_configs, dies=_FLOOD),
    Attack("a flood of answers", _flood_of_answers, dies="sent RESET_DONE as an answer to nothing"),
    Attack("a descriptor for main", _descriptor,
           dies=r"refused system call sendmsg \(46\) by the control thread at .*"),
    Attack("last words that take over the terminal, and life goes on", _last_words,
           dies=r"said: first\\nsecond \\x1b\[2Jx*"),
)  # fmt: skip


def _silent(it: HostileProcess) -> None:
    it.be_silent()


def _late(it: HostileProcess) -> None:
    it.wait_for(0, 3000)
    it.say("RESET_DONE", it.last_request)
    it.be_silent()


def _twice_answered(it: HostileProcess) -> None:
    for _ in range(2):
        it.say("METRICS", it.last_request, **it.thread._device.metrics())
    it.be_silent()


def _chatters(it: HostileProcess) -> None:
    it.flood(it.packet("LOG", 0, _LOG))


def _answers(name: str, **fields: object) -> Act:
    def act(it: HostileProcess) -> None:
        it.say(name, it.last_request, **fields)
        it.be_silent()

    return act


def _instead(question: str, text: str, act: Act, dies: str) -> Attack:
    trigger = {"METRICS": METRICS, "QUIESCED": STOP, "RESET_DONE": RESET}[question]
    return Attack(f"{question}: {text}", act, when=question, trigger=trigger, dies=dies)


ANSWERS = (
    _instead("METRICS", "silence", _silent, "GET_METRICS not answered within .* s"),
    _instead("QUIESCED", "silence", _silent, "QUIESCE not answered within .* s"),
    _instead("RESET_DONE", "silence", _silent, "RESET_DEVICE not answered within .* s"),
    _instead("RESET_DONE", "an answer after its deadline", _late, "RESET_DEVICE not answered within .* s"),
    _instead("QUIESCED", "chatter in place of an answer", _chatters, _FLOOD),
    _instead("METRICS", "another answer", _answers("QUIESCED", bases=[]),
             "answered GET_METRICS with QUIESCED"),
    _instead("METRICS", "its last words for an answer", _answers("FAILED", reason="x"),
             "answered GET_METRICS with FAILED"),
    _instead("QUIESCED", "another answer", _answers("RESET_DONE"), "answered QUIESCE with RESET_DONE"),
    _instead("QUIESCED", "bases of too few queues", _answers("QUIESCED", bases=[]),
             "sent QUIESCED with another number of queues"),
    _instead("QUIESCED", "bases of too many", _answers("QUIESCED", bases=[0] * 64),
             "sent QUIESCED with another number of queues"),
    _instead("RESET_DONE", "another answer", _answers("READY", features=0, config=b""),
             "answered RESET_DEVICE with READY"),
    _instead("METRICS", "the same answer again", _twice_answered, "sent METRICS as an answer to nothing"),
)  # fmt: skip


def _die(_it: HostileProcess) -> None:
    os._exit(0)


# Its own death, at each message of main's and instead of each answer.
_AT = (("SET_FEATURES", RESET), ("SET_VRING_NUM", RESET), ("SET_VRING_ADDR", RESET),
       ("SET_VRING_BASE", RESET), ("SET_VRING_ENABLE", RESET), ("QUIESCE", STOP),
       ("RESET_DEVICE", RESET), ("GET_METRICS", METRICS),
       ("QUIESCED", STOP), ("RESET_DONE", RESET), ("METRICS", METRICS))  # fmt: skip
DEATHS = tuple(
    Attack(f"its death at {name}", _die, when=name, trigger=trigger, dies="ended by itself.*")
    for name, trigger in _AT
)


def _talks(it: HostileProcess) -> None:
    while True:
        it.say("LOG", level="info", text="x" * 1000)
        it.wait_for(0, _PAUSE_MS)


def _floods(it: HostileProcess) -> None:
    it.flood(it.packet("LOG", 0, {"level": "info", "text": "x" * 1000}))


# Without an end: what tools/bench qmp-latency measures beside. Allowed are 50 messages a second.
_PAUSE_MS = 21
TALK = Attack("talk, as much as is allowed", _talks)
FLOOD = Attack("more than is allowed", _floods)
