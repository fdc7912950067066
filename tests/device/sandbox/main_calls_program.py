"""Makes calls under one of main's profiles, each in a fork of its own.

Arguments: checkout, profile, JSON of the calls.
Prints the exit statuses: the call's errno, 0 if it succeeded, 128 + SIGSYS if it was refused.
"""

import ctypes
import json
import os
import sys

sys.path.insert(0, sys.argv[1])

from vmm_main.kvm._kvm import lib

SCRATCH, SIZE = 0xFEEDF00D00000000, 256


def make(profile: str, number: int, arguments: list[int]) -> None:
    """Ends the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    room = ctypes.create_string_buffer(b"/\0", SIZE)
    at = ctypes.addressof(room)
    real = [at + a - SCRATCH if 0 <= a - SCRATCH < SIZE else a for a in arguments]
    given = [ctypes.c_long(number), *map(ctypes.c_long, (*real, *[0] * (6 - len(real))))]
    if (
        lib.refused_call_report_to(2) < 0
        or lib.no_new_privileges() < 0
        or lib.filters_install(profile.encode()) < 0
    ):
        os._exit(255)
    result = libc.syscall(*given)
    os._exit(0 if result != -1 else ctypes.get_errno())


def main() -> None:
    statuses = []
    for number, arguments in json.loads(sys.argv[3]):
        pid = os.fork()
        if pid == 0:
            make(sys.argv[2], number, arguments)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print(json.dumps(statuses))


main()
