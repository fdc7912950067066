"""Rows about disks."""

from __future__ import annotations

from tests.contract.row import Section, option, proved, waits

_DISKS = "tests/contract/test_disks.py"

DISKS = Section(
    "Disks",
    (
        proved(
            "drive_id: disk ID.",
            "-device refers to it, QMP names it; one that isn't there, or is taken, is refused",
            f"{_DISKS}::test_query_block_names_drive_and_device",
            f"{_DISKS}::test_a_device_needs_its_drive",
            f"{_DISKS}::test_a_drive_has_one_device",
        ),
        option("path_on_host: disk path.", "the guest reads that file", "disk"),
        option("serial_num (optional): serial number of the disk.", "the guest reads it", "disk-serial"),
        option(
            "read_only (optional): whether the disk is read-only.",
            "the guest's write is refused, and the file isn't touched",
            "disk-readonly",
        ),
        option(
            "direct (optional): whether to open the disk in O_DIRECT mode.",
            "the descriptor has O_DIRECT",
            "disk-direct",
        ),
        waits("iothread (optional): iothread attribute.", "iothreads", "that thread does the I/O"),
        waits("throttling.iops-total (optional): disk QoS", "disk QoS", "the rate holds"),
        proved(
            "if (optional): driver type.",
            "none is taken; another is refused on a light VM",
            f"{_DISKS}::test_the_interface_is_none",
            f"{_DISKS}::test_another_interface_is_refused[pflash]",
        ),
        proved(
            "The default value is none.",
            "a drive without if= is for -device",
            f"{_DISKS}::test_the_interface_is_none",
        ),
        proved(
            "The block device is none.",
            "if=none is what a block device has",
            f"{_DISKS}::test_the_interface_is_none",
        ),
        *(
            proved(
                quote,
                "refused on an MMIO device",
                f"{_DISKS}::test_keys_of_pci_are_refused[{key}]",
            )
            for quote, key in (
                ("bus: bus to which the device is to be mounted.", "bus=pcie.0"),
                ("addr: IDs of the slot and function", "addr=0x3.0x0"),
                ("multifunction (optional): whether to enable PCI multi-function.", "multifunction=on"),
            )
        ),
        proved(
            "Disk configuration consists of two steps",
            "one of them missing is refused",
            f"{_DISKS}::test_a_device_needs_its_drive",
            f"{_DISKS}::test_a_drive_needs_its_device",
        ),
        option(
            "-drive id=drive_id,file=path_on_host[,readonly=off][,direct=off]",
            "each key",
            "disk",
            "disk-readonly",
            "disk-direct",
        ),
        option("-device virtio-blk-device,drive=drive_id,id=blkid", "each key", "disk", "disk-serial"),
        waits(
            "QoS is short for quality of service.", "disk QoS", "two throttled disks don't disturb each other"
        ),
        waits("you can configure QoS to limit the disk access rate", "disk QoS", "the rate holds"),
        waits(
            "Currently, QoS supports the configuration of disk IOPS.",
            "disk QoS",
            "iops-total is the one key",
        ),
        waits("The value range of IOPS is [0, 1000000].", "disk QoS", "both bounds; one more is refused"),
        waits("The value 0 indicates that the IOPS is not limited.", "disk QoS", "0 doesn't limit"),
        waits("The actual IOPS does not exceed the preset value", "disk QoS", "the rate holds"),
        waits("Only the average IOPS can be limited.", "disk QoS", "the average is what holds"),
        waits("Instantaneous burst traffic cannot be limited.", "disk QoS", "a burst isn't held up"),
        waits("-drive xxx,throttling.iops-total=200", "disk QoS", "200 a second"),
        waits("throttling.iops-total: I/O delivery speed of the disk", "disk QoS", "the rate holds"),
        waits("It does not exceed the value of this parameter.", "disk QoS", "the rate holds"),
    ),
)
SECTIONS = (DISKS,)
