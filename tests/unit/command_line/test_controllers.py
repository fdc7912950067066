"""The command lines of the controllers that start VMs: those of their options that exist so far.

From libvirt 9 (`virsh domxml-to-native`-like, for a machine of type microvm), and from Kata Containers 3
(src/runtime/virtcontainers/stratovirt.go); what concerns devices comes with the devices.
"""

from __future__ import annotations

from vmm_main.command_line.parser import parse

LIBVIRT = """
-name guest=demo,debug-threads=on -S
-machine microvm,accel=kvm,usb=off,dump-guest-core=off
-m 2048 -overcommit mem-lock=off -smp 2,sockets=2,cores=1,threads=1
-uuid 8e8b0b9a-9c58-4d23-9f4b-6d3b9b0b8e1a -display none -no-user-config -nodefaults
-chardev socket,id=charmonitor,fd=21,server=on,wait=off
-mon chardev=charmonitor,id=monitor,mode=control
-rtc base=utc -no-shutdown -boot strict=on
-kernel /boot/vmlinuz -initrd /boot/initrd
-append console=ttyS0
-chardev pty,id=charserial0
-serial chardev:charserial0
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-msg timestamp=on
"""

KATA = """
-name sandbox-1 -uuid 8e8b0b9a-9c58-4d23-9f4b-6d3b9b0b8e1a
-smp 1 -m 2048 -machine microvm,dump-guest-core=off,mem-share=off
-kernel /opt/kata/vmlinux
-append|console=hvc0 reboot=k panic=1 pci=off acpi=off quiet
-qmp unix:/run/vc/vm/1/qmp.socket,server,nowait
-D
-disable-seccomp
"""


def words(text: str) -> list[str]:
    """The arguments: words, or what stands behind a bar as one."""
    found = []
    for line in text.split("\n"):
        option, bar, value = line.partition("|")
        found += [option, value] if bar else option.split()
    return found


def test_libvirts() -> None:
    config = parse(words(LIBVIRT))
    assert (config.name, config.cpus, config.memory_bytes) == ("demo", 2, 2 << 30)
    assert (config.start_paused, config.no_shutdown, config.dump_guest_core) == (True, True, False)
    assert (config.serial_chardev_id, config.qmp_chardev_ids) == ("charserial0", ["charmonitor"])
    assert config.chardevs[0].fd == 21
    said = " ".join(config.no_effect)
    for option in (
        "debug-threads",
        "-overcommit",
        "-boot",
        "-display",
        "-no-user-config",
        "-sandbox",
        "-msg",
    ):
        assert said.count(option) == 1


def test_katas() -> None:
    config = parse(words(KATA))
    assert config.append == "console=hvc0 reboot=k panic=1 pci=off acpi=off quiet"
    assert (config.log_to_stderr, config.log_path, config.seccomp_enabled) == (True, None, False)
    assert config.chardevs[0].path == "/run/vc/vm/1/qmp.socket"
    assert (config.dump_guest_core, config.mem_share) == (False, False)
