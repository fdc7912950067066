"""The benchmark's vhost-user front end: with a back end that is told what to answer, and with QEMU's."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.benchmarks import vhost_user
from tools.benchmarks.disk_peer import FEATURES, DiskPeerError, DriverSide, StorageDaemon
from tools.benchmarks.vhost_user import VhostUserError, VhostUserFrontEnd
from tools.fake_driver.block_reads import BlockReads, Pattern
from tools.fake_driver.driver_queue import DriverError

HANGS_AFTER_S = 30
DISK_BYTES = 1 << 20
REPLY = 1 << 2 | 1
HEADER = struct.Struct("=III")

pytestmark = pytest.mark.timeout(120)


class BackEnd:
    """Takes messages in a thread, and answers each as told.

    Attributes:
        messages: Request, flags, payload and number of descriptors of each.
    """

    def __init__(self, connection: socket.socket, answers: list[bytes | None]) -> None:
        self.messages: list[tuple[int, int, bytes, int]] = []
        self._socket = connection
        self._answers = answers
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._socket:
            for answer in self._answers:
                head, descriptors, _, _ = socket.recv_fds(self._socket, HEADER.size, 8)
                request, flags, size = HEADER.unpack(head)
                payload = self._socket.recv(size, socket.MSG_WAITALL) if size else b""
                self.messages.append((request, flags, payload, len(descriptors)))
                for descriptor in descriptors:
                    os.close(descriptor)
                if answer is not None:
                    self._socket.sendall(answer)

    def join(self) -> None:
        """Waits until it has answered all that it was told to."""
        self._thread.join()


def u64(request: int, value: int) -> bytes:
    return HEADER.pack(request, REPLY, 8) + struct.pack("=Q", value)


def talk(answers: list[bytes | None]) -> tuple[VhostUserFrontEnd, BackEnd]:
    ours, theirs = socket.socketpair()
    ours.settimeout(HANGS_AFTER_S)
    return VhostUserFrontEnd(ours), BackEnd(theirs, answers)


ALL = FEATURES | vhost_user.F_PROTOCOL_FEATURES
PROTOCOL = vhost_user.PROTOCOL_F_CONFIG | vhost_user.PROTOCOL_F_REPLY_ACK


def test_what_is_negotiated_is_what_is_needed() -> None:
    answers = [None, u64(1, ALL | 1 << 28), u64(15, PROTOCOL | 1), None, u64(2, 0)]
    front_end, back_end = talk(answers)
    with front_end:
        front_end.negotiate(FEATURES)
    back_end.join()
    assert [request for request, *_ in back_end.messages] == [3, 1, 15, 16, 2]
    assert back_end.messages[3][2] == struct.pack("=Q", PROTOCOL)
    assert back_end.messages[4][2] == struct.pack("=Q", ALL)
    # The last asks for a reply, by which a refusal would be known.
    assert [flags for _, flags, *_ in back_end.messages] == [1, 1, 1, 1, 9]


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([None, u64(1, ALL & ~(1 << 29))], "lacks the features 0x20000000"),
        ([None, u64(1, ALL), u64(15, 1 << 3)], "lacks the protocol features 0x200"),
        ([None, u64(1, ALL), u64(15, PROTOCOL), None, u64(2, 1)], "answered request 2 with 1"),
        ([None, u64(2, ALL)], "was answered by 2"),
        ([None, HEADER.pack(1, 1, 8) + bytes(8)], "was answered by 1, flags 0x1"),
        ([None, HEADER.pack(1, REPLY, 1 << 20)], "1048576 bytes"),
        ([None, u64(1, ALL)[:-1]], "gone at request 1"),
        ([], "request"),
    ],
)
def test_a_back_end_that_does_otherwise_is_named(answers: list[bytes | None], complaint: str) -> None:
    front_end, back_end = talk(answers)
    with front_end, pytest.raises(VhostUserError, match=complaint):
        front_end.negotiate(FEATURES)
    back_end.join()


def test_memory_and_queue_are_told_as_they_are(driver: DriverSide) -> None:
    front_end, back_end = talk([u64(request, 0) for request in (5, 8, 10, 9, 13, 12, 18)])
    with front_end:
        front_end.start(driver.ram, driver.queue, driver.kick_fd, driver.call_fd)
    back_end.join()
    told = {request: (payload, count) for request, _, payload, count in back_end.messages}
    user = driver.ram.address_of_gpa_zero()
    assert told[5] == (struct.pack("=IIQQQQ", 1, 0, 0, driver.ram.size, user, 0), 1)
    rings = (user + driver.queue.desc_gpa, user + driver.queue.used_gpa, user + driver.queue.avail_gpa)
    assert told[9] == (struct.pack("=IIQQQQ", 0, 0, *rings, 0), 0)
    assert told[12] == told[13] == (bytes(8), 1)


@pytest.fixture
def driver() -> Iterator[DriverSide]:
    made = DriverSide()
    yield made
    made.close()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk,with a comma"
    path.write_bytes(os.urandom(DISK_BYTES))
    return path


@pytest.mark.parametrize("aio", ["threads", "io_uring"])
def test_qemus_daemon_serves_what_the_disk_has(disk: Path, driver: DriverSide, aio: str) -> None:
    content = disk.read_bytes()
    with StorageDaemon("qemu-storage-daemon", aio).serving(disk, driver, os.sched_getaffinity(0)) as pid:
        assert Path(f"/proc/{pid}/comm").read_text() == "qemu-storage-da\n"
        for pattern in (Pattern(4096, 32, 7), Pattern(4096, 1, 9), Pattern(128 << 10, 4, None)):
            reads = BlockReads(driver.ram, driver.queue, DISK_BYTES, pattern)
            reads.run(500, HANGS_AFTER_S)
            held = list(reads.held())
            assert len(held) == pattern.depth
            assert all(content[offset : offset + len(data)] == data for offset, data in held)
        # Requests in flight end in any order, but a run that is over has made all of its own.
        in_order = BlockReads(driver.ram, driver.queue, DISK_BYTES, Pattern(128 << 10, 4, None))
        for blocks in ([0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]):
            in_order.run(4, HANGS_AFTER_S)
            assert [offset // (128 << 10) for offset, _ in in_order.held()] == blocks
    assert not Path(f"/proc/{pid}").exists()


def test_random_reads_reach_all_of_the_disk(disk: Path, driver: DriverSide) -> None:
    seen = set()
    with StorageDaemon("qemu-storage-daemon", "threads").serving(disk, driver, os.sched_getaffinity(0)):
        reads = BlockReads(driver.ram, driver.queue, DISK_BYTES, Pattern(4096, 32, 5))
        for _ in range(100):
            reads.run(32, HANGS_AFTER_S)
            seen |= {offset // 4096 for offset, _ in reads.held()}
    assert seen == set(range(DISK_BYTES // 4096))


def test_a_read_that_fails_is_told(disk: Path, driver: DriverSide) -> None:
    with StorageDaemon("qemu-storage-daemon", "threads").serving(disk, driver, os.sched_getaffinity(0)):
        reads = BlockReads(driver.ram, driver.queue, 2 * DISK_BYTES, Pattern(4096, 1, None))
        reads.run(DISK_BYTES // 4096, HANGS_AFTER_S)
        with pytest.raises(DriverError):
            reads.run(1, HANGS_AFTER_S)


def test_a_disk_that_is_not_there_is_named_in_the_daemons_words(tmp_path: Path, driver: DriverSide) -> None:
    peer = StorageDaemon("qemu-storage-daemon", "threads")
    with (
        pytest.raises(DiskPeerError, match=r"(?s)^qemu-threads: .*nowhere.*No such file"),
        peer.serving(tmp_path / "nowhere", driver, {0}),
    ):
        pass


def test_a_daemon_that_is_not_there_is_named(disk: Path, driver: DriverSide) -> None:
    peer = StorageDaemon("no-such-daemon", "threads")
    with pytest.raises(DiskPeerError, match="can't run no-such-daemon"), peer.serving(disk, driver, {0}):
        pass
    with pytest.raises(DiskPeerError, match="apt-get install -y qemu-system-common"):
        peer.description()


@pytest.mark.parametrize(("depth", "block_bytes"), [(43, 4096), (32, 256 << 10)])
def test_what_has_no_room_is_refused(driver: DriverSide, depth: int, block_bytes: int) -> None:
    with pytest.raises(ValueError, match="room"):
        BlockReads(driver.ram, driver.queue, DISK_BYTES, Pattern(block_bytes, depth, 1))
