"""A paste into the guest's terminal arrives whole."""

from __future__ import annotations

import hashlib
import random

from tests.linux.conftest import StartGuest

PASTED_BYTES = 64 * 1024


def test_64_kib_arrive_whole(start_guest: StartGuest) -> None:
    pasted = random.Random(3).randbytes(PASTED_BYTES).hex()[:PASTED_BYTES]
    guest = start_guest()
    guest.wait_for_shell()
    # Raw, because the terminal's line discipline keeps no more than 4096 bytes of an unfinished line.
    guest.console.send(f"stty raw -echo; echo rea''dy; head -c {PASTED_BYTES} | sha256sum; stty sane\n")
    guest.console.wait_for("ready", 60)
    guest.console.send(pasted)
    hashed = guest.console.wait_for(r"([0-9a-f]{64})  -", 240)
    assert hashed.group(1) == hashlib.sha256(pasted.encode()).hexdigest()
    guest.console.wait_for_prompt(60)
    guest.power_off()
