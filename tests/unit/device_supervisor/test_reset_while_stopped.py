"""A driver's reset that isn't over when the VM stops and goes on: a device may answer as it likes."""

from __future__ import annotations

import _thread

from tests.fuzz.byte_source import ByteSource
from tests.fuzz.simulated_host import simulated_host
from tests.fuzz.targets import control_from_device
from vmm_main.device_supervisor.device_state import PAUSED, READY, RUNNING
from vmm_main.virtio_mmio.virtio_device import VringSetup

SOUND_RNG = bytes((1, 0, 0))


def test_cont_before_the_reset_is_answered() -> None:
    with simulated_host() as (clock, kernel):
        life = control_from_device.Life(ByteSource(SOUND_RNG), clock, kernel)
        life.settle()
        life.supervisor.configure_all(control_from_device.MEMORY)
        control_from_device.answer_soundly(life)
        life.settle()
        device, process = life.device, life.process
        assert device.state == READY
        assert process is not None
        device.activate(1 << 32, [VringSetup(index, 64, 0, 1024, 2048) for index in range(2)])
        life.supervisor.resume()
        life.settle()
        assert device.state == RUNNING

        done = _thread.allocate_lock()
        done.acquire()
        device.begin_reset(done)
        device.begin_quiesce()
        life.settle()
        (_, (asked, _)) = process.asked
        assert asked == "QUIESCE"
        process.asked.reverse()  # the stop is answered, the reset isn't
        reset = process.asked.pop()
        control_from_device.answer_soundly(life)
        life.settle()
        assert device.state == PAUSED

        life.supervisor.resume()
        assert device.state == PAUSED
        process.asked.append(reset)
        control_from_device.answer_soundly(life)
        life.settle()
        assert device.state == READY
        assert done.acquire(blocking=False)
        done.release()
        life.end()
