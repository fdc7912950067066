"""What says nothing that could be true or false of a light VM on x86_64, consciously left out."""

from __future__ import annotations

from tests.contract.row import LeftOut

LEFT_OUT = (
    LeftOut(
        "headings",
        sentences=(
            "Configuring VMs",
            "Lightweight VMs",
            "Minimal Configuration",
            "Configuration Description",
            "Command Format",
            "Usage Instructions",
            "Basic Parameters",
            "VM Types",
            "Disk Configuration",
            "Disk Configuration Modes",
            "Disk QoS",
            "Configuration Methods",
            "NIC Configuration",
            "chardev Configuration",
            "Serial Port Configuration",
            "Console Device Configuration",
            "vsock Device Configuration",
            "Memory Huge Page Configuration",
            "Mutually Exclusive Features",
            "Configuring Huge Pages on the Host",
            "Setting the Number of Huge Pages",
            "Adding Huge Page Configuration When Starting StratoVirt",
            "CLI",
            "iothread Configuration",
            "Creating an iothread",
            "Configuring the iothread Attribute for a Disk or NIC",
            "CLI-based configurations",
            "Balloon Device Configuration",
            "RNG Configuration",
            "Configuration Examples",
            "Lightweight VMs:",
        ),
    ),
    LeftOut(
        "says what the text is about, or where it goes on",
        sentences=(
            "This chapter describes the command-line configuration mode.",
            "In this document, /path/to/socket indicates the socket file in the user-defined path.",
            "The minimum configuration for running StratoVirt is as follows:",
            "The format of the command configured by running cmdline is as follows:",
            "Run the cmdline command.",
            "The following table lists the basic configuration information.",
            "VM disk configuration includes the following configuration items:",
            "The lightweight VM configuration format is as follows:",
            "The following describes the throttling.iops-total and iothread configuration items:",
            "xxx: other settings of the disk.",
            "xxx: other configurations of the disk or NIC.",
            "For details about the iothread configuration, see iothread Configuration.",
            "For details about the iothread configuration of the NIC, see iothread Configuration.",
            "VM NIC configuration includes the following configuration items:",
            "The configuration items are as follows:",
            "The console device has the following configuration items:",
            "/path/to/hugepages is the user-defined empty directory.",
            "num indicates the specified number.",
            "In the preceding command, /page/to/hugepages indicates the directory to which the huge page "
            "file system is mounted.",
            "This section provides an example of the minimum configuration for creating a lightweight VM.",
            "Run StratoVirt.",
            "$ /path/to/stratovirt \\",
        ),
    ),
    LeftOut(
        "explains or compares, without a claim that could be tested here",
        sentences=(
            "In cloud scenarios, multiple VMs are started on a single host.",
            "Because the total disk access bandwidth of the host is limited, when a VM has heavy disk access "
            "pressure, it will occupy the access bandwidth of other VMs.",
            "As a result, the I/O performance of other VMs will be affected.",
            "It is similar to the console but has better performance.",
        ),
    ),
    LeftOut(
        "sets up the host's network, by commands of other packages",
        sentences=("$ ifconfig qbr0",),
        ranges=(("$ yum install -y bridge-utils", "$ ifconfig qbr0 up"),),
    ),
    LeftOut(
        "AArch64: untested so far",
        sentences=(
            "On the AArch64 platform, a maximum of 160 MMIO devices can be configured.",
            "You are advised to configure a maximum of 12 other devices except disks and NICs.",
            "For the AArch64 platform, console is default to ttyAMA0.",
        ),
    ),
    LeftOut(
        "standard VMs (q35, PCI): later",
        sentences=(
            "StratoVirt supports lightweight and standard VMs.",
            "Standard VMs support standard startup.",
            "They use the Q35 mainboard on x86 platforms, and the virt mainboard and PCI bus on AArch64 "
            "platforms.",
            "The standard VM configuration format is as follows:",
            "Standard VMs",
            "Standard VMs:",
            "-device virtio-blk-pci,drive=drive_id,bus=pcie.0,addr=0x3.0x0,id=blkid[,iothread=iothread1,]"
            "[serial=serial_num][,multifunction=on]",
            "-device virtio-net-pci,netdev=netdevid,id=netid,bus=pcie.0,addr=0x2.0x0"
            "[,multifunction=on,iothread=iothread1,mac=12:34:56:78:9A:BC]",
            "-device virtio-serial-pci,bus=pcie.0,addr=0x1.0x0[,multifunction=on,id=virtio-serial0]",
            "-device vhost-vsock-pci,id=vsock_id,guest-cid=3,bus=pcie.0,addr=0x1.0x0[,multifunction=on]",
            "-device virtio-blk-pci xxx,iothread=iothread1",
            "-device virtio-net-pci xxx,iothread=iothread2",
            "-device virtio-balloon-pci,bus=pcie.0,addr=0x4.0x0,deflate-on-oom=true[,multifunction=on]",
            "To configure the Virtio RNG device as a Virtio PCI device, run the following command:",
            "-device virtio-rng-pci,rng=objrng0,max-bytes=1234,period=1000,bus=pcie.0,addr=0x1.0x0,id=rng-id"
            "[,multifunction=on]",
            "The parameter format is addr=[slot].[function], where slot and function indicate the slot "
            "number and function number of the device respectively.",
            "The slot number and function number are hexadecimal numbers.",
            "The function number of the Virtio RNG device is 0x0.",
        ),
        ranges=(
            ("Standard VMs", "  • PCI bus to which the PCI device is mounted"),
            (
                "This section provides an example of the minimum configuration for creating a standard VM",
                "        -serial stdio",
            ),
        ),
    ),
    LeftOut(
        "the documentation site's feedback form",
        ranges=(("Bug Catching", "Click to create an issue."),),
    ),
)
