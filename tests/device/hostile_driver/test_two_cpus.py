"""Two CPUs of a guest at one device's registers, without a thought for each other."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from device_procs.device_registry import KINDS
from tests.device.hostile_driver.attack import NUM
from tests.device.hostile_driver.declaration import declared
from tests.device.hostile_driver.register_driver import (
    ACKNOWLEDGE,
    AREAS,
    DRIVER,
    DRIVER_OK,
    END,
    FAILED,
    FEATURES_OK,
    NEEDS_RESET,
    STATUS,
    WIDTHS,
    RegisterDriver,
)
from tests.device.hostile_driver.test_registers import serve
from tests.device.supervised_vm import SupervisedVm

pytestmark = pytest.mark.timeout(600)

REACHABLE = {
    bits | error
    for bits in (0, ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK)
    for error in (0, NEEDS_RESET, FAILED, NEEDS_RESET | FAILED)
}


class Cpu(threading.Thread):
    """Does steps by chance; what goes wrong is kept."""

    def __init__(self, driver: RegisterDriver, steps: int, seed: int) -> None:
        super().__init__()
        self._driver = driver
        self._steps = steps
        self._chance = random.Random(seed)
        self.error: BaseException | None = None
        self.was_live = 0

    def run(self) -> None:
        try:
            for _ in range(self._steps):
                self._chance.choice(
                    (self._go_live, self._write_anything, self._write_anything, self._reset)
                )()
                assert self._driver.status in REACHABLE
        except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
            self.error = error

    def _go_live(self) -> None:
        driver = self._driver
        driver.negotiate(driver.offered())
        for index, queue in enumerate(driver.queues):
            driver.write_queue(index, NUM, **{name: getattr(queue, name) for name in AREAS})
        driver.write(STATUS, DRIVER_OK)
        self.was_live += driver.status == DRIVER_OK
        for index in range(len(driver.queues)):
            driver.kick(index)

    def _write_anything(self) -> None:
        for _ in range(50):
            width = self._chance.choice(WIDTHS)
            self._driver.write(self._chance.randrange(END), self._chance.randrange(1 << 8 * width), width)

    def _reset(self) -> None:
        self._driver.write(STATUS, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_both_do_anything(tmp_path: Path, kind: str, repetitions: Callable[[int], int]) -> None:
    device, seed = declared(kind), random.randrange(1 << 32)
    print(f"seed {seed}")
    vm = SupervisedVm(tmp_path / "uids.lock", [], planned=((kind, device.plan(tmp_path)),))
    with closing(vm), closing(RegisterDriver(vm, device)) as driver:
        pid = vm.pid()
        driver.lay_out(event_idx=True)
        for attack in driver.attacks.values():
            attack.offer_well_formed()
            attack.publish()
        cpus = [Cpu(driver, repetitions(5000), seed + number) for number in range(2)]
        for cpu in cpus:
            cpu.start()
        for cpu in cpus:
            cpu.join()
        for cpu in cpus:
            if cpu.error is not None:
                raise cpu.error
        print(f"{[cpu.was_live for cpu in cpus]} times live")
        assert all(cpu.was_live for cpu in cpus)
        driver.reset()
        driver.go_live()
        serve(driver)
        assert [event for event in vm.events if event[0] != "DEVICE_NEEDS_RESET"] == []
        assert vm.pid() == pid
        assert vm.pauses == []
