"""Stands for main in a process of its own: a VM with rngs under load, until it is killed.

Arguments: a lock file; how many rngs; what is to be said of: "start", as soon as processes are asked for, or
"load", once the driver has been served. Says it by a line on standard output.
"""

import os
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.device.supervised_vm import SupervisedVm
from tests.device.supervisor.driver_load import LENGTH, DriverLoad


def main() -> None:
    lock_file, devices, moment = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if moment == "start":
        os.write(1, b"start\n")
    vm = SupervisedVm(lock_file, [{}] * devices)
    for transport in vm.transports:
        transport.driver_ok()
        transport.queues[0].fill(LENGTH)
    with DriverLoad(vm) as load:
        load.wait_for_progress()
        os.write(1, b"load\n")
        threading.Event().wait()


main()
