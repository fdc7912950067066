"""What one QMP client may cost the VM. Generous for every controller, out of reach of none that runs wild."""

from __future__ import annotations


class QmpLimits:
    """The bounds of one session; tests use smaller ones.

    Attributes:
        message_bytes: the longest JSON object, or line, that is read; a longer one ends the session.
        nesting: how deep arrays and objects may be nested in a message.
        reply_bytes: output waiting for the client from which on its further commands wait, too.
        output_bytes: output waiting (events add to it) at which the session is ended.
        stall_s: seconds a client may take no byte of waiting output before the session is ended.
        burst: cost units that may be spent at once. A command costs one for every unit_s, at least one; so
            does every unit_bytes of input.
        per_second: cost units that come back in a second, to all sessions that wait for some together.
        unit_s: seconds of main's time that cost one unit: all clients together have four tenths of it.
        unit_bytes: bytes of input that cost one unit.
        turn_s: seconds after which the other sessions, and all else that main does, have their turn.
        clients: sessions per socket at a time; more are told so and hung up on.
        descriptors: descriptors received by SCM_RIGHTS that no command has taken yet.
    """

    __slots__ = (
        "burst",
        "clients",
        "descriptors",
        "message_bytes",
        "nesting",
        "output_bytes",
        "per_second",
        "reply_bytes",
        "stall_s",
        "turn_s",
        "unit_bytes",
        "unit_s",
    )

    def __init__(self) -> None:
        self.message_bytes = 256 << 10
        self.nesting = 64
        self.reply_bytes = 64 << 10
        self.output_bytes = 4 << 20
        self.stall_s = 60.0
        self.burst = 200
        self.per_second = 1000.0
        self.unit_s = 0.0004
        self.unit_bytes = 512
        self.turn_s = 0.001
        self.clients = 32
        self.descriptors = 253
