"""How a guest ends and begins again: power button, reboots, panics; and what QMP says of it."""

from __future__ import annotations

from tests.linux.conftest import StartGuest
from tests.linux.linux_guest import POWER_DEADLINE_S

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def test_power_off_tells_qmp(start_guest: StartGuest) -> None:
    guest = start_guest()
    guest.monitor()
    guest.wait_for_shell()
    guest.console.send("poweroff\n")
    shutdown = guest.wait_for_event("SHUTDOWN")
    assert shutdown["data"] == {"guest": True, "reason": "guest-shutdown"}
    guest.expect_end()


def test_reboot_three_times_in_a_row(start_guest: StartGuest) -> None:
    guest = start_guest(cpus=2)
    guest.monitor()
    guest.wait_for_shell()
    boot_ids = [guest.run(BOOT_ID)]
    for _ in range(3):
        guest.console.send("reboot\n")
        reset = guest.wait_for_event("RESET")
        assert reset["data"] == {"guest": True, "reason": "guest-reset"}
        guest.wait_for_boot()
        boot_ids.append(guest.run(BOOT_ID))
        assert guest.run("nproc") == "2"
    assert len(set(boot_ids)) == 4, "the guest didn't boot anew each time"
    guest.power_off()


def test_panic_reboots_when_asked(start_guest: StartGuest) -> None:
    guest = start_guest(append="quiet panic=1")
    guest.monitor()
    guest.wait_for_shell()
    boot_id = guest.run(BOOT_ID)
    guest.console.send("echo c >/proc/sysrq-trigger\n")
    guest.console.wait_for("Kernel panic - not syncing", POWER_DEADLINE_S)
    assert guest.wait_for_event("RESET")["data"] == {"guest": True, "reason": "guest-reset"}
    guest.wait_for_boot()
    assert guest.run(BOOT_ID) != boot_id
    guest.power_off()


def test_power_button_shuts_the_guest_down(start_guest: StartGuest) -> None:
    guest = start_guest()
    monitor = guest.monitor()
    guest.wait_for_shell()
    monitor.cmd("system_powerdown")
    guest.wait_for_event("POWERDOWN")
    guest.expect_end()


def test_stop_halts_the_guest_and_cont_lets_it_go_on(start_guest: StartGuest) -> None:
    guest = start_guest()
    monitor = guest.monitor()
    guest.wait_for_shell()
    monitor.cmd("stop")
    guest.wait_for_event("STOP")
    status = monitor.cmd("query-status")
    assert isinstance(status, dict)
    assert status["status"] == "paused"
    before = len(guest.console.transcript)
    guest.console.send("echo awa''ke\n")
    # What would run in a stopped guest isn't waited for: the answer must come after cont, and does.
    monitor.cmd("query-cpus-fast")
    assert len(guest.console.transcript) == before
    monitor.cmd("cont")
    guest.wait_for_event("RESUME")
    guest.console.wait_for("\nawake\n", POWER_DEADLINE_S)
    guest.wait_for_shell()
    guest.power_off()


def test_system_reset_boots_the_guest_again(start_guest: StartGuest) -> None:
    guest = start_guest()
    monitor = guest.monitor()
    guest.wait_for_shell()
    boot_id = guest.run(BOOT_ID)
    monitor.cmd("system_reset")
    assert guest.wait_for_event("RESET")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
    guest.wait_for_boot()
    assert guest.run(BOOT_ID) != boot_id
    guest.power_off()
