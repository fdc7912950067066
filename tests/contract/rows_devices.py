"""Rows about NICs, iothreads, the balloon, random numbers and huge pages; most are still to come."""

from __future__ import annotations

from tests.contract.row import Section, option, proved, untested, waits

_DEVICES = "tests/contract/test_devices.py"
_OF_THE_HOST = "advice about the host's own settings: nothing that Bulkhead does"
_OF_THE_GUEST = "about the guest's kernel, which isn't Bulkhead's"

NICS = Section(
    "NICs",
    (
        waits("idv: unique device ID.", "NICs", "-device refers to it; QMP names it"),
        waits("tap: tap device.", "NICs", "frames go through the tap"),
        waits("ifname: name of the tap device on the host.", "NICs", "that tap is opened"),
        waits("mac (optional): MAC address of the VM.", "NICs", "the guest reads it"),
        waits(
            "iothread (optional): iothread attribute of the disk.", "iothreads", "that thread does the I/O"
        ),
        untested("Before using the network, run the following commands", "a bridge and a tap", _OF_THE_HOST),
        waits("Configure virtio-net.", "NICs", "frames both ways"),
        waits("([] indicates an optional parameter.)", "NICs", "the NIC works without them"),
        waits(
            "-netdev tap,id=netdevid,ifname=host_dev_name[,vhostfd=2]",
            "NICs",
            "vhostfd is checked and unused",
        ),
        waits(
            "-device virtio-net-device,netdev=netdevid,id=netid[,iothread=iothread1,mac=12:34:56:78:9A:BC]",
            "NICs",
            "each key",
        ),
        waits("Configure vhost-net.", "NICs", "the kernel moves the frames"),
        waits(
            "-netdev tap,id=netdevid,ifname=host_dev_name,vhost=on[,vhostfd=2]", "NICs", "vhost_net is in use"
        ),
    ),
)

IOTHREADS = Section(
    "iothreads",
    (
        waits(
            "threads independent of the main thread are started on the host.", "iothreads", "a thread per id"
        ),
        waits(
            "These independent threads can be used to process I/O requests", "iothreads", "it does the I/O"
        ),
        waits(
            "A maximum of eight iothreads can be configured.", "iothreads", "eight are taken, a ninth refused"
        ),
        waits(
            "The iothread attribute can be configured for disks and NICs.", "iothreads", "others refuse it"
        ),
        waits("iothreads occupy CPU resources of the host.", "iothreads", "the thread's CPU time"),
        untested(
            "When the I/O pressure is high in a VM",
            "CPU time by disk speed",
            "an observation about hosts' disks",
        ),
        untested("For example, a common SATA disk", "20% of a CPU", "an observation about hosts' disks"),
        waits("-object iothread,id=iothread1 -object iothread,id=iothread2", "iothreads", "two threads"),
        waits("id: identifies an iothread.", "iothreads", "given twice it is refused"),
        waits("This ID can be set to the iothread attribute", "iothreads", "an unknown one is refused"),
        waits(
            "the thread with the specified ID is started on the host", "iothreads", "a thread of that name"
        ),
        waits("-device virtio-blk-device xxx,iothread=iothread1", "iothreads", "it does the disk's I/O"),
        waits("-device virtio-net-device xxx,iothread=iothread2", "iothreads", "it does the NIC's I/O"),
        waits("iothread: Set this parameter to the iothread ID", "iothreads", "that thread does the I/O"),
    ),
)

HUGE_PAGES = Section(
    "Huge pages",
    (
        waits(
            "StratoVirt supports the configuration of huge pages for VMs.",
            "huge pages",
            "memory is on hugetlbfs",
        ),
        untested(
            "Compared with the traditional 4 KB memory page mode", "fewer TLB misses", "a property of CPUs"
        ),
        waits(
            "The directory to which the huge pages are mounted must be an absolute path.",
            "huge pages",
            "refused",
        ),
        waits(
            "Memory huge pages can be configured only during startup.", "huge pages", "no QMP command does it"
        ),
        waits("Only static huge pages are supported.", "huge pages", "none left: refused"),
        waits("Configure huge pages on the host before use.", "huge pages", "another file system is refused"),
        waits(
            "ensure that the VM memory size is an integer multiple of huge page size.",
            "huge pages",
            "refused",
        ),
        waits(
            "If the huge page feature is configured, the balloon feature",
            "huge pages",
            "both: the balloon warns",
        ),
        untested("Mount the huge page file system to a specified directory.", "a mount", _OF_THE_HOST),
        untested("$ mount -t hugetlbfs hugetlbfs /path/to/hugepages", "a mount", _OF_THE_HOST),
        untested("Set the number of static huge pages.", "a sysctl", _OF_THE_HOST),
        untested("$ sysctl vm.nr_hugepages=num", "a sysctl", _OF_THE_HOST),
        untested("Query huge page statistics.", "/proc/meminfo", _OF_THE_HOST),
        untested("$ cat /proc/meminfo | grep Hugepages", "/proc/meminfo", _OF_THE_HOST),
        untested("To view statistics about huge pages of other sizes", "/sys", _OF_THE_HOST),
        untested(
            "Configure the StratoVirt memory specifications and huge pages", "enough pages", _OF_THE_HOST
        ),
        waits(
            "If the huge page resources are insufficient, the VM fails to be started.",
            "huge pages",
            "refused",
        ),
        waits("-mem-path /page/to/hugepages", "huge pages", "memory is a file there"),
        waits("Only absolute paths are supported.", "huge pages", "a relative one is refused"),
        waits("Typical configuration: Set mem-path", "huge pages", "memory is a file there"),
        waits("The StratoVirt huge page feature is recommended", "huge pages", "memory is a file there"),
    ),
)

BALLOON = Section(
    "Balloon",
    (
        waits(
            "the balloon driver in it occupies or releases memory",
            "balloon",
            "the VMM's memory shrinks and grows",
        ),
        waits(
            "ensure that the page size of the guest is the same as that of the host.",
            "balloon",
            "x86: always so",
        ),
        untested("The balloon feature must be enabled for the guest kernel.", "a driver", _OF_THE_GUEST),
        untested("When memory elastic scaling is enabled, slight frame freezing", "slowness", _OF_THE_GUEST),
        waits(
            "This feature is mutually exclusive with huge page memory.",
            "balloon",
            "both: a warning, no effect",
        ),
        proved(
            "the number of interrupts is limited.",
            "11 devices have a line each, and a guest gets interrupts by all of them",
            "tests/guest/test_virtio_mmio.py::test_a_driver_in_a_guest[11]",
        ),
        waits(
            "the total number of balloon devices and other virtio devices cannot exceed 11.",
            "balloon",
            "with ten others it is taken, with eleven refused",
        ),
        waits(
            "By default, six block devices, two net devices, and one serial port device are used.",
            "balloon",
            "with all of them there is room for it",
        ),
        waits("Each VM can be configured with only one balloon device.", "balloon", "a second is refused"),
        waits("-device virtio-balloon-device,deflate-on-oom=true", "balloon", "the feature is offered"),
        waits(
            "The value of deflate-on-oom is of the Boolean type", "balloon", "the feature is offered or not"
        ),
        waits(
            "it automatically releases the memory to the guest", "balloon", "a guest short of memory deflates"
        ),
        waits(
            "If this feature is disabled, the memory is not automatically returned.", "balloon", "it doesn't"
        ),
        untested("When running the QMP command to reclaim the VM memory", "enough memory", _OF_THE_GUEST),
        untested("Otherwise, some operations may time out", "a guest without memory", _OF_THE_GUEST),
        waits(
            "the balloon device cannot reclaim the memory occupied by the huge pages.",
            "balloon",
            "nothing shrinks",
        ),
        waits("If deflate-on-oom is set to false", "balloon", "it doesn't deflate by itself"),
        untested("As a result, the guest OOM may occur", "the guest's OOM killer", _OF_THE_GUEST),
    ),
)

RNG = Section(
    "Random numbers",
    (
        option(
            "Virtio RNG is a paravirtualized random number generator",
            "a driver in the guest gets the character device's bytes",
            "rng-device",
            "rng-object",
        ),
        option(
            "Virtio RNG can be configured as the Virtio MMIO device",
            "the guest has it on a slot",
            "rng-device",
        ),
        option(
            "To configure the Virtio RNG device as a Virtio MMIO device",
            "the guest has it on a slot",
            "rng-device",
        ),
        option(
            "-object rng-random,id=objrng0,filename=/path/to/random_file",
            "the guest gets that file's bytes; without it the device is refused",
            "rng-object",
        ),
        option(
            "-device virtio-rng-device,rng=objrng0,max-bytes=1234,period=1000",
            "the guest has to wait once it has got 1234 bytes, and gets 1234 a second",
            "rng-rate",
        ),
        proved(
            "filename: path of the character device",
            "its bytes come; any other kind of file is refused",
            "tests/guest/test_virtio_rng.py::test_a_guest_gets_the_bytes_of_the_hosts_device",
            f"{_DEVICES}::test_only_a_character_device_is_a_source",
        ),
        proved(
            "period: period for limiting the read rate",
            "in milliseconds: 1234 bytes in each 1000 come in each second",
            f"{_DEVICES}::test_the_average_holds",
        ),
        option(
            "max-bytes: maximum number of bytes of a random number",
            "with it the guest has to wait, without it doesn't",
            "rng-rate",
        ),
        proved(
            "bus: name of the bus to which the Virtio RNG device is mounted.",
            "refused on an MMIO device",
            f"{_DEVICES}::test_keys_of_pci_are_refused[bus=pcie.0]",
        ),
        proved(
            "addr: address of the Virtio RNG device.",
            "refused on an MMIO device",
            f"{_DEVICES}::test_keys_of_pci_are_refused[addr=0x1.0x0]",
        ),
        proved(
            "If period and max-bytes are not configured",
            "without them nothing waits; one alone is refused, with what is missing",
            "tests/contract/test_effects.py::test_dropping_it_loses_the_effect[rng-rate]",
            f"{_DEVICES}::test_one_half_of_a_rate_is_refused",
        ),
        proved(
            "the value range of max-bytes/period*1000 is [64, 1000000000].",
            "both bounds are taken; a byte, or a millisecond, beyond is refused with the range",
            f"{_DEVICES}::test_rates_within_the_range[64-1000]",
            f"{_DEVICES}::test_rates_within_the_range[1000000000-1000]",
            f"{_DEVICES}::test_rates_out_of_the_range[63-1000]",
            f"{_DEVICES}::test_rates_out_of_the_range[1-16]",
            f"{_DEVICES}::test_rates_out_of_the_range[1000000001-1000]",
        ),
        untested(
            "It is recommended that the value be not too small",
            "slowness",
            "advice without a number: each value in the range is taken",
        ),
        proved(
            "Only the average number of random number characters can be limited",
            "the average of several periods holds; what one period allows comes at once",
            f"{_DEVICES}::test_the_average_holds",
            f"{_DEVICES}::test_a_burst_is_not_limited",
            "tests/device/virtio_rng/test_jailed_rng.py::test_the_average_rate_holds",
        ),
        untested("If the guest needs to use the Virtio RNG device", "a driver", _OF_THE_GUEST),
        untested("check whether the entropy pool is sufficient", "entropy", _OF_THE_HOST),
        untested("For example, if the character device path is /dev/random", "entropy", _OF_THE_HOST),
        untested("When the entropy pool is full", "entropy", _OF_THE_HOST),
        untested("Generally, the value is greater than 1000.", "entropy", _OF_THE_HOST),
    ),
)
SECTIONS = (NICS, IOTHREADS, HUGE_PAGES, BALLOON, RNG)
