"""Where a test and the hostile process that it has started tell each other things: in guest memory."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tools.fake_driver.guest_ram import GuestRam

# Behind all queues' rings and buffers.
RAM_BYTES = 16 << 20
BOARD_GPA = 15 << 20
SEED_GPA = BOARD_GPA + 4096
STORM_GPA = BOARD_GPA + 8192
# Of a storm: the call, a seed, whether the control socket is left alone (else it is half of all descriptors),
# rounds, and for each of six arguments the bits that are cleared, then those that are set.
STORM = Struct("<qQQQ6Q6Q")
BOARD = Struct("<QQQ")


class Scoreboard:
    """The test's side of it."""

    def __init__(self, ram: GuestRam) -> None:
        self._ram = ram

    def begin(self, seed: int) -> None:
        """Clears it, and says from what random numbers are to come."""
        self._ram.write(BOARD_GPA, bytes(BOARD.size))
        self._ram.write(SEED_GPA, seed.to_bytes(8, "little"))

    def order_storm(
        self, number: int, seed: int, clear: list[int], wanted: list[int], *, rounds: int, spares_socket: bool
    ) -> None:
        """Says which calls a storm is of."""
        self.begin(seed)
        self._ram.write(STORM_GPA, STORM.pack(number, seed | 1, spares_socket, rounds, *clear, *wanted))

    def read(self) -> tuple[int, int, bool]:
        """How many calls were begun, how many of them have failed, and whether that was all."""
        calls, failed, done = BOARD.unpack(self._ram.read(BOARD_GPA, BOARD.size))
        return calls, failed, bool(done)
