"""Channels over real sockets: messages, owned descriptors, and what a dead, silent or hostile peer causes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import msgpack
import pytest

from ipc.channel import Channel, ChannelFullError, MalformedError, PeerGoneError, describe
from ipc.messages import DESCRIPTORS_MAX, PACKET_MAX_BYTES, Message
from ipc.schema import EMPTY, UINT32_MAX, Bytes, Record, Schema

WORDS: dict[str, Schema] = {"PING": EMPTY, "DATA": Record({"data": Bytes(PACKET_MAX_BYTES)})}


class Pair:
    """Two channels that are connected; device's end takes descriptors, main's doesn't."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.trace: list[str] = []
        self.main = Channel(ours.detach(), "rng0", WORDS, trace=self.trace.append)
        self.device = Channel(theirs.detach(), "main", WORDS, takes_descriptors=True)

    def close(self) -> None:
        self.main.close()
        self.device.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_a_message_each_way(pair: Pair) -> None:
    pair.main.send(Message("DATA", {"data": b"\0\1"}, 5))
    there = pair.device.receive()
    assert there is not None
    assert (there.name, there.fields, there.request_id) == ("DATA", {"data": b"\0\1"}, 5)
    pair.device.send(Message("PING", {}, 5))
    back = pair.main.receive()
    assert back is not None
    assert (back.name, back.request_id) == ("PING", 5)


def test_nothing_to_receive_is_none(pair: Pair) -> None:
    assert pair.main.receive() is None
    assert pair.device.receive() is None


def test_messages_stay_apart_and_in_order(pair: Pair) -> None:
    for number in range(20):
        pair.main.send(Message("DATA", {"data": bytes(number)}))
    for number in range(20):
        message = pair.device.receive()
        assert message is not None
        assert message.fields == {"data": bytes(number)}


def test_descriptors_go_with_their_message(pair: Pair) -> None:
    reader, writer = os.pipe()
    pair.main.send(Message("PING", {}, 0, (writer, reader)))
    os.close(writer)
    message = pair.device.receive()
    assert message is not None
    their_writer, their_reader = message.descriptors
    assert not os.get_inheritable(their_writer)
    os.write(their_writer, b"through")
    assert os.read(reader, 100) == b"through"
    for fd in (reader, their_writer, their_reader):
        os.close(fd)


def test_as_many_descriptors_as_the_kernel_takes(pair: Pair) -> None:
    pair.main.send(Message("PING", {}, 0, (0,) * DESCRIPTORS_MAX))
    message = pair.device.receive()
    assert message is not None
    assert len(set(message.descriptors)) == DESCRIPTORS_MAX
    for fd in message.descriptors:
        os.close(fd)
    with pytest.raises(ValueError, match="254 descriptors"):
        pair.main.send(Message("PING", {}, 0, (0,) * (DESCRIPTORS_MAX + 1)))


def test_main_takes_no_descriptors(pair: Pair) -> None:
    before = open_descriptors()
    with socket.socket(fileno=os.dup(pair.device.fileno())) as hostile:
        packet = msgpack.packb({"m": "PING", "i": 0, "f": {}})
        socket.send_fds(hostile, [packet], [0, 0, 0])
    message = pair.main.receive()
    assert message is not None
    assert message.descriptors == ()
    assert open_descriptors() == before


def test_a_channel_that_has_stopped_takes_no_descriptors(pair: Pair) -> None:
    pair.device.stop_taking_descriptors()
    before = open_descriptors()
    pair.main.send(Message("PING", {}, 0, (0,)))
    message = pair.device.receive()
    assert message is not None
    assert message.descriptors == ()
    assert open_descriptors() == before


def test_descriptors_of_a_malformed_message_are_closed(pair: Pair) -> None:
    before = open_descriptors()
    pair.main.send(Message("UNKNOWN", {}, 0, (0, 1, 2)))
    with pytest.raises(MalformedError, match="main: unknown message 'UNKNOWN'"):
        pair.device.receive()
    assert open_descriptors() == before


def test_descriptors_are_not_lost_in_a_second_control_message(pair: Pair) -> None:
    before = open_descriptors()
    with socket.socket(fileno=os.dup(pair.main.fileno())) as sender:
        packet = msgpack.packb({"m": "PING", "i": 0, "f": {}})
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\0\0\0\0")] * 2
        sender.sendmsg([packet], rights)
    message = pair.device.receive()
    assert message is not None
    assert len(message.descriptors) == len(open_descriptors() - before) == 2
    for fd in message.descriptors:
        os.close(fd)


def test_a_packet_too_long_is_not_sent(pair: Pair) -> None:
    with pytest.raises(ValueError, match="allowed are 65536"):
        pair.main.send(Message("DATA", {"data": bytes(PACKET_MAX_BYTES)}))
    pair.main.send(Message("DATA", {"data": bytes(PACKET_MAX_BYTES - 100)}))


@pytest.mark.parametrize("length", [PACKET_MAX_BYTES + 1, 2 * PACKET_MAX_BYTES])
def test_a_packet_too_long_is_refused(pair: Pair, length: int) -> None:
    with socket.socket(fileno=os.dup(pair.device.fileno())) as hostile:
        hostile.setblocking(True)
        hostile.send(bytes(length))
    with pytest.raises(MalformedError, match="rng0: a packet over 65536 bytes"):
        pair.main.receive()


def test_a_peer_that_has_closed(pair: Pair) -> None:
    pair.device.send(Message("PING"))
    pair.device.close()
    last = pair.main.receive()
    assert last is not None  # what it had said before counts
    with pytest.raises(PeerGoneError, match="rng0 is gone"):
        pair.main.receive()
    with pytest.raises(PeerGoneError, match="rng0 is gone"):
        pair.main.send(Message("PING"))


def test_a_peer_that_closed_without_reading(pair: Pair) -> None:
    pair.main.send(Message("PING"))
    pair.device.close()
    with pytest.raises(PeerGoneError):
        pair.main.receive()


def test_an_empty_packet_is_not_taken_for_the_end(pair: Pair) -> None:
    with socket.socket(fileno=os.dup(pair.device.fileno())) as hostile:
        hostile.send(b"")
    with pytest.raises(MalformedError, match="rng0: an empty packet"):
        pair.main.receive()


def test_a_peer_that_will_send_nothing_more_is_gone(pair: Pair) -> None:
    with socket.socket(fileno=os.dup(pair.device.fileno())) as hostile:
        hostile.shutdown(socket.SHUT_WR)
    with pytest.raises(PeerGoneError):
        pair.main.receive()


def test_a_peer_that_does_not_read(pair: Pair) -> None:
    def send_much() -> None:
        for _ in range(10000):
            pair.main.send(Message("DATA", {"data": bytes(60000)}))

    with pytest.raises(ChannelFullError, match="rng0 doesn't read its control socket"):
        send_much()


def test_sending_to_the_dead_raises_no_signal(pair: Pair) -> None:
    pair.device.close()
    pid = os.fork()
    if pid == 0:
        import signal

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            pair.main.send(Message("PING"))
        except PeerGoneError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def test_request_ids_are_never_0(pair: Pair) -> None:
    assert [pair.main.new_request_id() for _ in range(3)] == [1, 2, 3]
    pair.main._next_id = UINT32_MAX - 1
    assert [pair.main.new_request_id() for _ in range(2)] == [UINT32_MAX, 1]


def test_a_closed_channel_has_no_descriptor(pair: Pair) -> None:
    pair.main.close()
    pair.main.close()
    assert pair.main.fileno() == -1


def test_a_detached_channel_leaves_its_socket_open(pair: Pair) -> None:
    fd = pair.main.detach()
    assert pair.main.fileno() == -1
    with socket.socket(fileno=fd) as still_open:
        still_open.send(msgpack.packb({"m": "PING", "i": 0, "f": {}}))
    message = pair.device.receive()
    assert message is not None


def test_the_trace_can_be_read(pair: Pair) -> None:
    pair.main.send(Message("DATA", {"data": b"ab"}, 3, (0,)))
    pair.device.send(Message("PING", {}, 3))
    pair.main.receive()
    assert pair.trace == ["to rng0: DATA #3 data=b'ab' with descriptors [0]", "from rng0: PING #3"]


def test_a_long_text_is_shown_line_by_line() -> None:
    text = b"status\0Name:\tblk0\nUmask:\t0022\n\0limits\0" + b"x" * 500 + b"\x1b\n" * 1000
    first, *below = describe("from blk0", Message("BIRTH_CERTIFICATE", {"text": text})).split("\n")
    assert first == "from blk0: BIRTH_CERTIFICATE"
    assert below[:4] == ["    status", "    Name:\\tblk0", "    Umask:\\t0022", "    "]
    assert below[5] == f"    {'x' * 117}..."
    assert below[6] == "    \\x1b"
    assert len(below) == 200


def test_addresses_and_features_are_shown_in_hexadecimal() -> None:
    fields = {"features": 0x130000000, "desc_gpa": 4096, "num": 256, "text": "\x1b" + "x" * 500}
    shown = describe("to rng0", Message("SET_VRING_ADDR", fields))
    assert shown.startswith(
        "to rng0: SET_VRING_ADDR features=0x130000000 desc_gpa=0x1000 num=256 text='\\x1bxxx"
    )
    assert len(shown) < 250
