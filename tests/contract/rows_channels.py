"""Rows about chardevs, the serial port, consoles and vsock."""

from __future__ import annotations

from tests.contract.row import Section, option, proved, waits

_LIMITS = "tests/contract/test_limits.py"

CHARDEV = Section(
    "Chardevs",
    (
        option(
            "Redirect I/Os from the Guest to chardev on the host.",
            "a byte to the chardev is answered by the guest there",
            "chardev-stdio",
            "chardev-pty",
            "chardev-socket",
        ),
        option(
            "The chardev backend type can be stdio, pty, socket, or file.",
            "each is taken, and the guest's output comes out there",
            "chardev-stdio",
            "chardev-pty",
            "chardev-socket",
            "chardev-file",
        ),
        proved(
            "type can be stdio, pty, socket, or file.",
            "another back end is refused with the list",
            f"{_LIMITS}::test_there_are_four_back_ends",
        ),
        proved(
            "file can be set only during output.",
            "a guest never gets input from a file",
            f"{_LIMITS}::test_a_file_gives_the_guest_no_input",
        ),
        proved(
            "id: unique device ID.",
            "an id given twice, or none, is refused",
            f"{_LIMITS}::test_ids_are_unique",
        ),
        option("backend: redirection type.", "it says where the bytes go", "chardev-stdio", "chardev-file"),
        option(
            "path: path of the device redirection file.",
            "the file or socket is there",
            "chardev-file",
            "chardev-socket",
        ),
        proved(
            "This parameter is required only for socket and file devices.",
            "they are refused without it, the others with it",
            f"{_LIMITS}::test_a_path_is_required_for_files_and_sockets",
            f"{_LIMITS}::test_a_path_is_required_for_nothing_else",
        ),
        option("server: uses chardev as a server.", "the socket is made; without it, connected to", "server"),
        proved(
            "This parameter is required only for socket devices.",
            "the other back ends are refused with server or nowait",
            f"{_LIMITS}::test_only_sockets_have_servers",
        ),
        option(
            "nowait: The expected status is disconnected.",
            "the guest runs before a client has come; without it, it waits for one",
            "nowait",
        ),
        option(
            "When chardev is used, a console file is created and used.",
            "the file or socket is made, and used",
            "chardev-file",
            "chardev-socket",
        ),
        proved(
            "ensure that the console file does not exist before starting StratoVirt.",
            "a file that exists is refused and left alone",
            f"{_LIMITS}::test_the_file_of_a_chardev_must_not_exist",
        ),
        option(
            "-chardev backend,id=chardev_id[,path=path,server,nowait]",
            "bytes go through it",
            "chardev-stdio",
            "chardev-pty",
            "chardev-socket",
            "chardev-file",
        ),
    ),
)

SERIAL = Section(
    "The serial port",
    (
        option(
            "A serial port is a VM device used to transmit data between hosts and VMs.",
            "a byte to the guest, and another back",
            "serial-stdio",
        ),
        proved(
            "To use a serial port, configure console to ttyS0 in the kernel command line",
            "Linux's console is there",
            "tests/linux/test_boot.py::test_kernel_boots",
        ),
        option(
            "chardev: redirected chardev device.", "the port is connected to that chardev", "chardev-stdio"
        ),
        option(
            "backend, path, server, and nowait: The meanings of these parameters are the same as those in",
            "each back end as with -chardev",
            "serial-stdio",
            "serial-pty",
            "serial-socket",
            "serial-file",
            "server",
            "nowait",
        ),
        option(
            "-serial chardev:chardev_id",
            "bytes go through that chardev",
            "chardev-stdio",
            "chardev-pty",
            "chardev-socket",
            "chardev-file",
        ),
        option(
            "-chardev backend[,path=path,server,nowait]",
            "written as -serial BACKEND[,...], which needs no id (the contract's line misspells -serial)",
            "serial-stdio",
            "serial-pty",
            "serial-socket",
            "serial-file",
        ),
        proved(
            "-serial chardev:chardev_id",
            "without -serial there is no serial port",
            f"{_LIMITS}::test_serial_is_at_ttys0s_place_only_when_asked_for",
        ),
    ),
)

CONSOLE = Section(
    "Consoles",
    (
        waits(
            "virtio-console is a universal serial port device", "consoles", "bytes go both ways by /dev/hvc0"
        ),
        waits(
            "If only the console device is configured and I/O operations are performed through the console",
            "consoles",
            "console=hvc0 gives Linux's console",
        ),
        waits("id: device ID.", "consoles", "QMP names the device by it"),
        waits("path: path of virtio console files.", "consoles", "the socket is there"),
        waits("socket: redirection in socket mode.", "consoles", "bytes go through the socket"),
        waits(
            "The console configuration consists of three steps", "consoles", "one of them missing is refused"
        ),
        waits(
            "-device virtio-serial-device[,id=virtio-serial0]",
            "consoles",
            "the port's bus; needed by virtconsole",
        ),
        waits(
            "-chardev socket,path=socket_path,id=virtioconsole1,server,nowait",
            "consoles",
            "the console's socket (the chardev itself is proved above)",
        ),
        waits("-device virtconsole,chardev=virtioconsole1,id=console_id", "consoles", "the guest has a port"),
    ),
)

VSOCK = Section(
    "vsock",
    (
        waits(
            "The vsock is also a device for communication between hosts and VMs.",
            "vsock",
            "a connection each way carries data",
        ),
        waits("id: unique device ID.", "vsock", "QMP names the device by it"),
        waits("guest_cid: unique context ID.", "vsock", "the guest reads it; two VMs can't have the same"),
        waits("-device vhost-vsock-device,id=vsock_id,guest-cid=3", "vsock", "the guest's CID is 3"),
    ),
)
SECTIONS = (CHARDEV, SERIAL, CONSOLE, VSOCK)
