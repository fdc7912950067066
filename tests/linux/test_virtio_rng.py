"""Linux's own virtio-rng driver, and device processes that die, stop and come back under it."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from tests.linux.conftest import StartGuest
from tests.linux.linux_guest import LinuxGuest

READ_DEADLINE_S = 300.0
SOURCE = ("-object", "rng-random,id=host,filename=/dev/urandom")
RNG = (*SOURCE, "-device", "virtio-rng-device,rng=host,id=rng0")
# One read of 64 bytes: head would read more at a time.
READ_64 = "dd if=/dev/hwrng bs=64 count=1 2>/dev/null"
READ_AHEAD_BYTES = 4 * 64
# Reads until it is told to stop, and says how it went: bytes, or the first error.
BACKGROUND_READ = (
    "rm -f /tmp/stop; echo 0 >/tmp/count; (n=0; until [ -e /tmp/stop ]; do "
    "head -c 256 /dev/hwrng >/tmp/piece 2>>/tmp/errors || echo failed >>/tmp/errors; "
    "n=$((n + $(wc -c </tmp/piece))); echo $n >/tmp/new; mv /tmp/new /tmp/count; done; "
    "echo $n >/tmp/total) & true"
)


def _processes(guest: LinuxGuest) -> dict[str, dict[str, Any]]:
    answer = guest.monitor().cmd("query-device-processes")
    assert isinstance(answer, list)
    return {device["id"]: device for device in answer}


def _metrics(guest: LinuxGuest) -> dict[str, Any]:
    answer = guest.monitor().cmd("query-device-metrics", id="rng0")
    assert isinstance(answer, dict)
    return answer


def _wait_for_bytes(guest: LinuxGuest, more_than: int) -> int:
    """Waits in the guest until its background reader has that many bytes."""
    loop = f'until [ "$(cat /tmp/count)" -gt {more_than} ]; do sleep 0.1; done; cat /tmp/count'
    return int(guest.run(loop, READ_DEADLINE_S))


def _end_reading(guest: LinuxGuest) -> None:
    guest.run("touch /tmp/stop; until [ -e /tmp/total ]; do sleep 0.1; done", READ_DEADLINE_S)
    assert guest.run("cat /tmp/errors 2>/dev/null; true") == ""
    assert "rng" not in guest.run("dmesg -r | grep '^<[0-4]>' | grep -i -E 'rng|virtio' || true")


def test_what_linux_reads_is_what_the_device_counts(start_guest: StartGuest) -> None:
    guest = start_guest(arguments=RNG)
    guest.wait_for_shell()
    assert guest.run("cat /sys/class/misc/hw_random/rng_current") == "virtio_rng.0"
    # Or the kernel reads for itself too, as long as the device is said to be random at all.
    guest.run("echo 0 >/sys/class/misc/hw_random/rng_quality")
    before = _metrics(guest)
    first, second = (guest.run(f"{READ_64} | od -An -v -tx1 | tr -d ' \\n'; echo") for _ in range(2))
    assert re.fullmatch("[0-9a-f]{128}", first)
    assert first != second
    guest.run("dd if=/dev/hwrng of=/dev/null bs=512 count=8 2>/dev/null", READ_DEADLINE_S)
    after = _metrics(guest)
    read = after["metrics"]["bytes"] - before["metrics"]["bytes"]
    # Linux reads ahead, a buffer of its own at a time.
    assert 4096 + 2 * 64 <= read <= 4096 + 2 * 64 + READ_AHEAD_BYTES
    requests = after["metrics"]["requests"] - before["metrics"]["requests"]
    assert 0 < requests == after["queues"][0]["completed"] - before["queues"][0]["completed"]
    guest.power_off()


def test_kills_while_linux_reads_are_not_seen(start_guest: StartGuest) -> None:
    guest = start_guest(cpus=2, arguments=RNG)
    monitor = guest.monitor()
    guest.wait_for_shell()
    guest.run(BACKGROUND_READ)
    count = _wait_for_bytes(guest, 0)
    pids = set()
    for _ in range(5):
        pid = _processes(guest)["rng0"]["pid"]
        assert pid not in pids
        pids.add(pid)
        os.kill(pid, signal.SIGKILL)
        assert guest.wait_for_event("DEVICE_PROCESS_DIED")["data"]["cause"] == "killed by SIGKILL"
        guest.wait_for_event("DEVICE_PROCESS_RESTARTED")
        count = _wait_for_bytes(guest, count)
    monitor.cmd("device_process_restart", id="rng0")
    guest.wait_for_event("DEVICE_PROCESS_RESTARTED")
    _wait_for_bytes(guest, count)
    assert _processes(guest)["rng0"]["restarts"] == 6
    _end_reading(guest)
    guest.power_off()


def test_stop_cont_and_reboot_while_linux_reads(start_guest: StartGuest) -> None:
    guest = start_guest(arguments=RNG)
    monitor = guest.monitor()
    guest.wait_for_shell()
    guest.run(BACKGROUND_READ)
    count = _wait_for_bytes(guest, 0)
    monitor.cmd("stop")
    guest.wait_for_event("STOP")
    assert _processes(guest)["rng0"]["state"] == "paused"
    counted = _metrics(guest)
    pid = _processes(guest)["rng0"]["pid"]
    os.kill(pid, signal.SIGKILL)
    guest.wait_for_event("DEVICE_PROCESS_RESTARTED")
    assert _processes(guest)["rng0"]["state"] == "paused"
    assert counted["queues"][0]["popped"] == counted["queues"][0]["completed"]
    monitor.cmd("cont")
    guest.wait_for_event("RESUME")
    _wait_for_bytes(guest, count)
    guest.console.send("reboot -f\n")
    guest.wait_for_event("RESET")
    guest.wait_for_boot()
    assert guest.run("head -c 16 /dev/hwrng | wc -c", READ_DEADLINE_S) == "16"
    guest.power_off()


def test_eleven_devices_at_once(start_guest: StartGuest) -> None:
    devices = [
        word for number in range(11) for word in ("-device", f"virtio-rng-device,rng=host,id=r{number}")
    ]
    guest = start_guest(arguments=(*SOURCE, *devices))
    guest.wait_for_shell()
    assert "11 devices are neither disk nor NIC" in guest.errors()
    names = guest.run("cat /sys/class/misc/hw_random/rng_available").split()
    assert sorted(names) == sorted(f"virtio_rng.{number}" for number in range(11))
    for name in names:
        guest.run(f"echo {name} >/sys/class/misc/hw_random/rng_current")
        assert guest.run("cat /sys/class/misc/hw_random/rng_current") == name
        assert guest.run("head -c 16 /dev/hwrng | wc -c", READ_DEADLINE_S) == "16"
    processes = _processes(guest)
    assert len({device["pid"] for device in processes.values()}) == 11
    assert len({device["uid"] for device in processes.values()}) == 11
    assert {device["state"] for device in processes.values()} == {"running"}
    guest.power_off()
