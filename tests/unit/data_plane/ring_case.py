"""One ring for ring_program.c and ring_model.py: how it is laid out, written down, and judged by both."""

from __future__ import annotations

import copy
import struct
import subprocess
from dataclasses import dataclass, field
from typing import IO

from tests.unit.data_plane.ring_model import Chain, Malformed, Memory, Model, Region

LOW_GPA, LOW_BYTES = 0x1000, 0x4000
HIGH_GPA, HIGH_BYTES = 1 << 32, 0x1000
READ_ONLY_GPA, READ_ONLY_BYTES = 0x10000, 0x1000
TOP_GPA = (1 << 64) - 0x2000  # near the end of all addresses

DESC, AVAIL, USED = LOW_GPA, LOW_GPA + 0x1000, LOW_GPA + 0x2000
BUFFERS = LOW_GPA + 0x3000
INDIRECT_DESC, EVENT_IDX, VERSION_1 = 1 << 28, 1 << 29, 1 << 32

_FRAME = struct.Struct("<QQQQiIII")
_REGION = struct.Struct("<QQQ")
_DESCRIPTOR = struct.Struct("<QIHH")


def regions() -> list[Region]:
    return [
        Region(LOW_GPA, bytearray(LOW_BYTES)),
        Region(HIGH_GPA, bytearray(HIGH_BYTES)),
        Region(READ_ONLY_GPA, bytearray(READ_ONLY_BYTES), writable=False),
        Region(TOP_GPA, bytearray(0x1000)),
    ]


@dataclass
class RingCase:
    num: int = 8
    desc: int = DESC
    avail: int = AVAIL
    used: int = USED
    features: int = VERSION_1 | INDIRECT_DESC
    base: int = -1
    completes: bool = True
    memory: Memory = field(default_factory=lambda: Memory(regions()))

    def descriptor(self, index: int, gpa: int, length: int, flags: int = 0, following: int = 0) -> None:
        self.entry(self.desc, index, (gpa, length, flags, following))

    def entry(self, table: int, index: int, values: tuple[int, int, int, int]) -> None:
        """Writes gpa, length, flags and next of one entry of a descriptor table."""
        self.memory.write(table + 16 * index, _DESCRIPTOR.pack(*values))

    def offer(self, *heads: int, first: int = 0) -> None:
        for place, head in enumerate(heads, first):
            self.memory.write(self.avail + 4 + 2 * (place % self.num), struct.pack("<H", head))
        self.set_avail_idx((first + len(heads)) % 65536)

    def set_avail_idx(self, idx: int) -> None:
        self.memory.write(self.avail + 2, struct.pack("<H", idx))

    def set_used_idx(self, idx: int) -> None:
        self.memory.write(self.used + 2, struct.pack("<H", idx))

    def frame(self) -> bytes:
        """The ring as ring_program.c reads it."""
        addresses = (self.desc, self.avail, self.used)
        count = len(self.memory.regions)
        parts = [_FRAME.pack(*addresses, self.features, self.base, self.num, self.completes, count)]
        for region in self.memory.regions:
            parts.append(_REGION.pack(region.gpa, len(region.content), region.writable))
            parts.append(bytes(region.content))
        return b"".join(parts)


@dataclass
class Verdict:
    """What a side made of a ring."""

    chains: list[Chain]
    error: str | None
    memory: list[bytes]


def judge_by_model(case: RingCase) -> Verdict:
    memory = copy.deepcopy(case.memory)
    chains: list[Chain] = []
    error = None
    try:
        indirect = bool(case.features & INDIRECT_DESC)
        model = Model(memory, case.num, case.desc, case.avail, case.used, indirect, case.base)
        while (chain := model.pop()) is not None:
            chains.append(chain)
            if case.completes:
                model.complete(chain)
    except Malformed as malformed:
        error = str(malformed)
    return Verdict(chains, error, [bytes(region.content) for region in memory.regions])


class RingProgram:
    """ring_program.c, running."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin: IO[bytes] = process.stdin
        self._stdout: IO[bytes] = process.stdout

    def _read(self, length: int) -> bytes:
        data = self._stdout.read(length)
        if len(data) < length:
            raise self._ended()
        return data

    def _ended(self) -> AssertionError:
        status = self._process.wait()
        return AssertionError(f"ring_program ended with status {status}: its sanitizer says why")

    def judge(self, case: RingCase) -> Verdict:
        try:
            self._stdin.write(case.frame())
            self._stdin.flush()
        except BrokenPipeError as gone:
            raise self._ended() from gone
        (length,) = struct.unpack("<Q", self._read(8))
        lines = self._read(length).decode().splitlines()
        memory = [self._read(len(region.content)) for region in case.memory.regions]
        chains, error = [], None
        for line in lines:
            word, *rest = line.split(" ", 1)
            if word == "chain":
                head, *segments = rest[0].split()
                chains.append(Chain(int(head), [_segment(text) for text in segments]))
            elif word == "error":
                error = rest[0]
            else:
                popped, completed, in_flight = map(int, rest[0].split())
                assert popped == len(chains)
                assert completed == (popped if case.completes else 0)
                assert in_flight == popped - completed
        return Verdict(chains, error, memory)


def _segment(text: str) -> tuple[str, int, int]:
    gpa, _, length = text[1:].partition("+")
    return text[0], int(gpa, 16), int(length, 16)
