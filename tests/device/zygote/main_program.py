"""Stands for main in a process of its own: starts spawner, zygote and a device, and says what it has.

Arguments: a lock file; "seccomp" or "no-seccomp". Prints a line of JSON, then waits for the end of its input.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.device.zygote.born_device import born_device
from tests.device.zygote.zygote_rig import ZygoteRig


def main() -> None:
    rig = ZygoteRig(Path(sys.argv[1]), seccomp=sys.argv[2] == "seccomp")
    with born_device(rig) as device:
        told = {
            "answer": device.answer.fields,
            "certificate": device.certificate() if device.pid > 0 else {},
            "pids": [rig.spawner.pid, rig.zygote_pid, device.pid],
            "own_uids": rig.own_uids,
            "ids": [os.geteuid(), os.getegid()],
        }
        print(json.dumps(told), flush=True)
        sys.stdin.read()
    if device.pid > 0:
        rig.close()


main()
