"""The command line of the QEMU that is the box: a PC with a software CPU that has AMD's virtualisation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "qemu-system-x86_64"

# Port numbers of the virtio-serial device, as box_command.sh opens them; port 0 is the terminal (hvc0).
STREAM_PORTS = {"stdin": 1, "stdout": 2, "stderr": 3, "control": 4}


@dataclass(frozen=True)
class BoxHardware:
    """What the box is made of."""

    kernel: Path
    initramfs: Path
    share: Path
    scratch_disk: Path
    memory_mib: int
    cpus: int
    writable: Sequence[Path]


def qemu_command(program: str, hardware: BoxHardware, channels: dict[str, int]) -> list[str]:
    """The whole command line.

    Args:
        program: QEMU's path or name.
        hardware: What the box is made of.
        channels: The QEMU side's descriptors of the socket pairs: "log", the names in STREAM_PORTS, and
            "terminal" when the command gets one.
    """
    command = [
        # QEMU must not outlive whoever watches it.
        *("setpriv", "--pdeathsig", "KILL", "--"),
        # All of QEMU's threads on one CPU. Its software CPU changes its word of pending interrupts with plain
        # instructions and, in VMRUN, without a lock (svm_helper.c), beside the thread that raises interrupts:
        # on two CPUs a timer's interrupt can get lost, and whoever waited for it hangs.
        *("taskset", "--cpu-list", str(max(os.sched_getaffinity(0)))),
        *(program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "EPYC,+svm"),
        *("-smp", str(hardware.cpus), "-m", str(hardware.memory_mib)),
        *("-kernel", str(hardware.kernel), "-initrd", str(hardware.initramfs)),
        # QEMU's software CPUs share one TSC, but Linux takes an AMD CPU's for unsynchronized: its clock is
        # the slow HPET then, and KVM corrects the guests' TSC all the time.
        *("-append", "console=ttyS0 panic=-1 mitigations=off nokaslr tsc=reliable"),
        *("-chardev", f"socket,id=log,fd={channels['log']}", "-serial", "chardev:log"),
        *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci,max_ports=8"),
        *("-drive", f"file={_escaped(hardware.scratch_disk)},if=virtio,format=raw,cache=unsafe"),
        *_shared_directory("hostroot", Path("/"), "readonly=on,multidevs=remap"),
        *_shared_directory("share", hardware.share, "multidevs=remap"),
    ]
    for number, directory in enumerate(hardware.writable):
        command += _shared_directory(f"writable{number}", directory, "multidevs=remap")
    if "terminal" in channels:
        command += ["-chardev", f"socket,id=terminal,fd={channels['terminal']}"]
        command += ["-device", "virtconsole,nr=0,chardev=terminal"]
    for name, port in STREAM_PORTS.items():
        command += ["-chardev", f"socket,id={name},fd={channels[name]}"]
        command += ["-device", f"virtserialport,nr={port},chardev={name}"]
    return command


def _escaped(path: Path) -> str:
    return os.fspath(path).replace(",", ",,")


def _shared_directory(tag: str, directory: Path, options: str) -> list[str]:
    backend = f"local,id={tag},path={_escaped(directory)},security_model=none,{options}"
    return ["-fsdev", backend, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
