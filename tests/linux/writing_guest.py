"""Runs in the guest: threads that write blocks with fdatasync, and log each that was acknowledged.

python3 THIS LOG FILE...: a thread for each FILE writes random blocks into it, round and round, until there is
/run/stop. LOG is a disk of its own: the host reads there, at any time, what the guest was told to be durable,
whatever becomes of the guest. At the end it prints how many there were, and what went wrong.

It runs in Debian's python, without this repository; its source is the content of a disk.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
import threading

BLOCK_BYTES = 4096
RECORD_BYTES = 512
BLOCKS = 4096  # of each file
STOP = "/run/stop"


def write_blocks(index: int, path: str, log_path: str, failures: list[str], counts: list[int]) -> None:
    """One thread's work."""
    try:
        log = os.open(log_path, os.O_WRONLY | os.O_DIRECT)
        record = mmap.mmap(-1, RECORD_BYTES)  # aligned, as direct I/O needs it
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        while not os.path.exists(STOP):
            number = counts[index] % BLOCKS
            block = os.urandom(BLOCK_BYTES)
            assert os.pwrite(file, block, number * BLOCK_BYTES) == BLOCK_BYTES
            os.fdatasync(file)
            line = f"{index} {counts[index]} {hashlib.sha256(block).hexdigest()}\n"
            record[:] = line.encode().ljust(RECORD_BYTES, b"\0")
            place = (index * BLOCKS + number) * RECORD_BYTES
            assert os.pwrite(log, record, place) == RECORD_BYTES
            counts[index] += 1
        os.close(file)
    except (OSError, AssertionError) as error:
        failures.append(f"writer {index} of {path}, block {counts[index]}: {error!r}")


def main(arguments: list[str]) -> int:
    """Runs the threads; returns the exit status."""
    log_path, *paths = arguments
    failures: list[str] = []
    counts = [0] * len(paths)
    threads = [
        threading.Thread(target=write_blocks, args=(index, path, log_path, failures, counts))
        for index, path in enumerate(paths)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        print(failure)
    print("acknowledged", sum(counts))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
