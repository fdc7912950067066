"""Rows about limits, the command's form, the basic parameters and the board."""

from __future__ import annotations

from tests.contract.row import Section, option, proved, waits

_LIMITS = "tests/contract/test_limits.py"
_DEVICES = "tests/contract/test_devices.py"
_DISKS = "tests/contract/test_disks.py"

GENERAL = Section(
    "General",
    (
        proved(
            "With StratoVirt, you can use command line parameters to specify VM configurations.",
            "the example's command line makes a VM",
            f"{_DISKS}::test_the_example_of_a_light_vm",
        ),
        waits(
            "you can interconnect StratoVirt with libvirt and use XML files to configure VMs.",
            "libvirt",
            "virsh starts and ends a VM (the command line it writes is read already)",
        ),
        proved(
            "JSON files are not supported",
            "no option reads a configuration file",
            f"{_LIMITS}::test_a_configuration_in_a_json_file_is_unknown",
        ),
        proved(
            "Lightweight VMs use the lightweight microVM mainboard",
            "the board is microvm unless another is asked for",
            f"{_LIMITS}::test_without_machine_it_is_the_light_one",
        ),
        option("and the MMIO bus", "a device is on a virtio-mmio slot", "rng-device"),
    ),
)

LIMITS = Section(
    "Limits of light VMs",
    (
        proved(
            "Number of VM CPUs: [1, 254]",
            "1 and 254 CPUs are there (query-cpus-fast) and come up; 0 and 255 are refused with the range",
            f"{_LIMITS}::test_cpus_within_the_range[1]",
            f"{_LIMITS}::test_cpus_within_the_range[254]",
            f"{_LIMITS}::test_cpus_out_of_the_range[0]",
            f"{_LIMITS}::test_cpus_out_of_the_range[255]",
            "tests/guest/test_processors.py::test_all_cpus_come_up_with_their_x2apic_ids[254]",
        ),
        proved(
            "VM memory size: [256 MiB, 512 GiB]",
            "the guest's memory map has 256 MiB and 512 GiB; 255 MiB and 512 GiB and a KiB are refused",
            f"{_LIMITS}::test_memory_within_the_range[256M]",
            f"{_LIMITS}::test_memory_within_the_range[512G]",
            f"{_LIMITS}::test_memory_out_of_the_range[255M]",
            f"{_LIMITS}::test_memory_out_of_the_range[262143K]",
            f"{_LIMITS}::test_memory_out_of_the_range[513G]",
        ),
        proved(
            "Number of VM disks (including hot plugged-in disks): [0, 6]",
            "six disks are there; a seventh is refused on the command line",
            f"{_DISKS}::test_disks_within_the_range[1]",
            f"{_DISKS}::test_disks_within_the_range[6]",
            f"{_DISKS}::test_a_seventh_disk_is_refused",
        ),
        waits(
            "Number of VM disks (including hot plugged-in disks): [0, 6]",
            "hot-plug",
            "a seventh is refused by hot-plug too",
        ),
        waits(
            "Number of VM NICs (including hot plugged-in NICs): [0, 2]",
            "NICs",
            "two NICs are there; a third is refused, on the command line and by hot-plug",
        ),
        waits(
            "The VM console device supports only single way connection.",
            "consoles",
            "a second client of the console is refused",
        ),
        proved(
            "a maximum of 11 MMIO devices can be configured.",
            "11 devices are there, each a process of its own; a twelfth is refused",
            f"{_DEVICES}::test_devices_within_the_range[11]",
            f"{_DEVICES}::test_a_twelfth_device_is_refused",
            "tests/guest/test_virtio_mmio.py::test_a_driver_in_a_guest[11]",
            "tests/linux/test_virtio_rng.py::test_eleven_devices_at_once",
        ),
        proved(
            "you are advised to configure a maximum of two other devices except disks and NICs.",
            "a third device that is neither disk nor NIC is warned of in the log; two aren't",
            f"{_DEVICES}::test_more_than_two_other_devices_are_warned_of[2]",
            f"{_DEVICES}::test_more_than_two_other_devices_are_warned_of[3]",
        ),
    ),
)

MINIMAL = Section(
    "Minimal configuration and command format",
    (
        proved(
            "Use the Linux kernel image in PE or bzImage format (x86_64 only).",
            "Debian's bzImage boots",
            "tests/linux/test_boot.py::test_kernel_boots",
        ),
        proved(
            "Set the rootfs image as the virtio-blk device and add it to kernel parameters.",
            "a guest that is told root=/dev/vda reads and writes that image",
            f"{_DISKS}::test_the_example_of_a_light_vm",
        ),
        option("Use api-channel to control StratoVirt.", "QMP greets and answers", "qmp"),
        option(
            "To use a serial port for login, add one to the kernel startup command line.",
            "the kernel finds console=ttyS0 in its command line, and COM1 answers",
            "append-unquoted",
            "serial-stdio",
        ),
        proved(
            "the model used in other scenarios is ttyS0.",
            "the UART is a 16550A at COM1, Linux's ttyS0",
            "tests/guest/test_serial_port.py::test_linux_would_take_it_for_a_16550a",
        ),
        proved(
            "$ /path/to/stratovirt - [Parameter 1] [Option]-[Parameter 2] [Option]…",
            "options take one dash and come in any order",
            f"{_LIMITS}::test_options_come_in_any_order",
        ),
        proved(
            "$/path/to/stratovirt - *[Parameter 1] [Parameter option] - [Parameter 2] [Parameter option]*...",
            "options take one dash and come in any order",
            f"{_LIMITS}::test_options_come_in_any_order",
        ),
        proved(
            "To ensure that the socket required by the api-channel can be created",
            "a path that is taken is refused and left alone",
            f"{_LIMITS}::test_the_path_of_qmp_must_be_free[live socket]",
        ),
        proved(
            "$rm [parameter] *[user-defined socket file path]*",
            "once it is removed, the socket is made: not needed for one that nobody listens on",
            "tests/guest/test_qmp.py::test_a_stale_socket_of_a_killed_vm_is_replaced",
        ),
    ),
)

BASIC = Section(
    "Basic parameters",
    (
        option("-nameVMnameConfigures the VM name", "query-name tells it", "name"),
        proved(
            "(a string of 1 to 255 characters)",
            "1 and 255 characters are taken; 0 and 256 are refused with the range",
            f"{_LIMITS}::test_names_within_the_range[1]",
            f"{_LIMITS}::test_names_within_the_range[255]",
            f"{_LIMITS}::test_names_out_of_the_range[0]",
            f"{_LIMITS}::test_names_out_of_the_range[256]",
        ),
        option("-kernel/path/to/vmlinux.binConfigures the kernel image.", "the file's code runs", "kernel"),
        option(
            "-appendconsole=ttyS0 root=/dev/vda reboot=k panic=1 rwConfigures the kernel command line",
            "the guest finds the words at the zero page's cmd_line_ptr, quoted or not",
            "append-unquoted",
            "append-quoted",
        ),
        proved(
            "For the standard x86_64 virtualization platform, console is default to ttyS0.",
            "the UART is a 16550A at COM1, Linux's ttyS0",
            "tests/guest/test_serial_port.py::test_linux_would_take_it_for_a_16550a",
        ),
        waits(
            "If the virtio-console device is configured but the serial port device is not configured",
            "consoles",
            "hvc0 is the guest's console",
        ),
        option("-initrd/path/to/initrd.imgConfigures the initrd file.", "the guest finds the file", "initrd"),
        option(
            "-smp[cpus=] CPU countConfigures the number of CPUs.",
            "query-cpus-fast lists so many, with cpus= and without",
            "smp",
            "smp-cpus",
        ),
        proved(
            "The value range is [1, 254].",
            "0 and 255 are refused with the range",
            f"{_LIMITS}::test_cpus_out_of_the_range[0]",
            f"{_LIMITS}::test_cpus_out_of_the_range[255]",
        ),
        option(
            "-mMemory size (MiB/GiB).",
            "the memory map has so much, written with M or G",
            "m-mib",
            "m-gib",
        ),
        option(
            "The default unit is MiB.Configures the memory size.", "a bare number is MiB", "m-default-unit"
        ),
        proved(
            "The value range is [256 MiB, 512 GiB].",
            "less and more are refused with the range",
            f"{_LIMITS}::test_memory_out_of_the_range[255]",
            f"{_LIMITS}::test_memory_out_of_the_range[524289]",
        ),
        option(
            "-qmpunix:/path/to/socket,server,nowaitConfigures api-channel.",
            "QMP greets at the socket",
            "qmp",
        ),
        proved(
            "Before running api-channel, ensure that the socket file does not exist.",
            "a path that is taken is refused and left alone",
            f"{_LIMITS}::test_the_path_of_qmp_must_be_free[file]",
            f"{_LIMITS}::test_the_path_of_qmp_must_be_free[live socket]",
        ),
        option(
            "-D/path/to/logfileConfigures the log file.",
            "the file gets lines with time, pid, level and module; without a value, standard error does",
            "log-file",
            "log-without-value",
        ),
        option(
            "-pidfile/path/to/pidfileConfigures the pid file.",
            "the file holds the VM's pid while it runs, and is gone afterwards",
            "pidfile",
        ),
        proved(
            "This parameter must be used together with -daemonize.",
            "without -daemonize it is refused",
            f"{_LIMITS}::test_a_pid_file_is_for_daemons_only",
        ),
        proved(
            "Ensure that the pid file does not exist before running the script.",
            "a file that exists is refused and left alone",
            f"{_LIMITS}::test_a_pid_file_must_not_exist",
        ),
        option(
            "-disable-seccompN/ADisables Seccomp.",
            "no thread is in filter mode any more, and a warning says so",
            "disable-seccomp",
            "disable-seccomp-filters",
        ),
        proved(
            "Seccomp is enabled by default.",
            "all threads of main, zygote and devices are in filter mode",
            f"{_DEVICES}::test_threads_are_filtered_by_default",
        ),
        option(
            "-daemonizeN/AEnables daemon processes.",
            "the command returns once QMP answers; the VM runs on in a session of its own",
            "daemonize",
        ),
    ),
)

BOARD = Section(
    "VM types",
    (
        proved(
            "You can run the -machine parameter to specify the type of the VM to be started.",
            "microvm in any capitals is taken, what isn't built is refused by name",
            f"{_LIMITS}::test_the_light_machine_by_any_capitals[microvm]",
            f"{_LIMITS}::test_other_machines_are_refused_by_name[q35]",
        ),
        proved(
            "type: VM startup type.",
            "type= is the key, and the first, which may be left out",
            f"{_LIMITS}::test_the_light_machine_by_any_capitals[type=MicroVm]",
            f"{_LIMITS}::test_the_light_machine_by_any_capitals[microvm]",
        ),
        proved(
            "The value is MicroVm for lightweight virtualization",
            "MicroVm is the light machine",
            f"{_LIMITS}::test_the_light_machine_by_any_capitals[MicroVm]",
        ),
        proved(
            "dump-guest-core (optional): whether to dump the VM memory when a process panics.",
            "off: the guest's memory is marked not to be dumped (smaps); on or not given: it isn't marked",
            "tests/contract/test_effects.py::test_the_option_has_its_effect[dump-guest-core]",
            "tests/contract/test_effects.py::test_dropping_it_loses_the_effect[dump-guest-core]",
            f"{_LIMITS}::test_dump_guest_core_can_be_said_either_way",
        ),
        waits(
            "mem-share (optional): whether to share memory with other processes.",
            "outside back ends",
            "off: none but this VM's own device processes map the guest's memory; on: an outside one may",
        ),
    ),
)

EXAMPLES = Section(
    "The example of a light VM",
    (
        proved(
            "Log in to the host and delete the socket file to ensure that the QMP can be created.",
            "a path that is taken is refused and left alone",
            f"{_LIMITS}::test_the_path_of_qmp_must_be_free[live socket]",
        ),
        proved(
            "$ rm -f /tmp/stratovirt.socket",
            "once it is removed, the socket is made again",
            f"{_DISKS}::test_the_examples_qmp_answers_while_it_runs",
        ),
        proved(
            "-kernel /path/to/vmlinux.bin \\",
            "the example runs",
            f"{_DISKS}::test_the_example_of_a_light_vm",
        ),
        proved(
            "-append console=ttyS0 root=/dev/vda rw reboot=k panic=1 \\",
            "the words arrive unquoted as they are in the example",
            f"{_DISKS}::test_the_example_of_a_light_vm",
        ),
        proved(
            "-drive file=/home/rootfs.ext4,id=rootfs,readonly=false \\",
            "the disk is there and can be written; readonly=false",
            f"{_DISKS}::test_the_example_of_a_light_vm",
        ),
        proved(
            "-device virtio-blk-device,drive=rootfs \\",
            "the disk is there, without an id of its own",
            f"{_DISKS}::test_the_example_of_a_light_vm",
        ),
        proved(
            "-qmp unix:/tmp/stratovirt.socket,server,nowait \\",
            "QMP answers while the guest runs",
            f"{_DISKS}::test_the_examples_qmp_answers_while_it_runs",
        ),
        proved(
            "-serial stdio",
            "the guest's serial port is standard output",
            f"{_DISKS}::test_the_example_of_a_light_vm",
        ),
        proved(
            "After the running is successful, the VM is created and started",
            "the guest's own code has run",
            f"{_DISKS}::test_the_example_of_a_light_vm",
        ),
    ),
)
SECTIONS = (GENERAL, LIMITS, MINIMAL, BASIC, BOARD, EXAMPLES)
