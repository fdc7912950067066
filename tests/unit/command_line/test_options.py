"""Each option does to the configuration what its help says, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from vmm_main.command_line.options import TABLES
from vmm_main.command_line.parser import parse
from vmm_main.errors import ConfigurationError
from vmm_main.vm_config import ChardevConfig, FdSetEntry, VmConfig

MINIMUM = ["-kernel", "vmlinux"]
SIMPLE = (ChardevConfig, FdSetEntry)


def plain(value: Any) -> Any:
    """A configuration's value in a form that can be compared."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, SIMPLE):
        return {name: getattr(value, name) for name in value.__slots__ if name != "asked_as"}
    return value


def changes(*arguments: str) -> dict[str, Any]:
    """What the arguments change, compared with a command line that has only -kernel."""
    before, after = parse(MINIMUM), parse([*MINIMUM, *arguments])
    return {
        name: plain(getattr(after, name))
        for name in VmConfig.__slots__
        if plain(getattr(after, name)) != plain(getattr(before, name))
    }


def socket(chardev_id: str, path: str | None, **other: Any) -> dict[str, Any]:
    chardev = {"chardev_id": chardev_id, "backend": "socket", "path": path}
    return chardev | {"server": True, "nowait": True, "fd": None} | other


def simple(chardev_id: str, backend: str, path: str | None = None) -> dict[str, Any]:
    return socket(chardev_id, path, backend=backend, server=False, nowait=False)


PTY = ["-chardev", "pty,id=p"]
WITH_PTY = [simple("p", "pty")]


def mon_on(asked_as: str) -> dict[str, Any]:
    return {"qmp_chardev_ids": ["p"], "qmp_asked_as": {"p": asked_as}, "chardevs": WITH_PTY}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-name", "vm1"], {"name": "vm1"}),
        (["-name", "guest=vm1"], {"name": "vm1"}),
        (["-uuid", "0123ABCD-0000-0000-0000-00000000000f"], {"uuid": "0123abcd-0000-0000-0000-00000000000f"}),
        (["-machine", "microvm"], {}),
        (["-machine", "MicroVm"], {}),
        (["-machine", "type=MICROVM,accel=KVM"], {}),
        (["-M", "microvm,dump-guest-core=off"], {"dump_guest_core": False}),
        (["-machine", "mem-share=on"], {"mem_share": True}),
        (["-machine", "dump-guest-core=no,mem-share=yes"], {"dump_guest_core": False, "mem_share": True}),
        (["-smp", "4"], {"cpus": 4}),
        (["-smp", "cpus=4"], {"cpus": 4}),
        (["-smp", "4,maxcpus=4,sockets=1,dies=1,clusters=1,cores=4,threads=1"], {"cpus": 4}),
        (["-m", "512"], {"memory_bytes": 512 << 20}),
        (["-m", "size=2G"], {"memory_bytes": 2 << 30}),
        (["-initrd", "i,r=d"], {"initrd_path": "i,r=d"}),
        (["-append", "console=ttyS0 rw"], {"append": "console=ttyS0 rw"}),
        (["-append", "console=ttyS0", "rw"], {"append": "console=ttyS0 rw"}),
        (["-rtc", "base=localtime"], {"rtc_base_is_utc": False}),
        (["-S"], {"start_paused": True}),
        (["-no-reboot"], {"no_reboot": True}),
        (["-no-shutdown"], {"no_shutdown": True}),
        (["-daemonize"], {"daemonize": True}),
        (["-daemonize", "-pidfile", "p"], {"daemonize": True, "pidfile_path": "p"}),
        (["-D", "log"], {"log_path": "log"}),
        (["-D"], {"log_to_stderr": True}),
        (["-add-fd", "fd=7,set=2"], {"fd_sets": [{"fd": 7, "set_id": 2, "opaque": None}]}),
        (["-add-fd", "fd=7,set=2,opaque=a"], {"fd_sets": [{"fd": 7, "set_id": 2, "opaque": "a"}]}),
        (PTY, {"chardevs": WITH_PTY}),
        (["-chardev", "stdio,id=s"], {"chardevs": [simple("s", "stdio")]}),
        (["-chardev", "SOCKET,id=s,path=/s,server,nowait"], {"chardevs": [socket("s", "/s")]}),
        (["-chardev", "socket,id=s,path=/s,server=on,wait=off"], {"chardevs": [socket("s", "/s")]}),
        (["-chardev", "socket,id=s,path=/s,server"], {"chardevs": [socket("s", "/s", nowait=False)]}),
        (["-chardev", "socket,id=s,fd=9,server,nowait"], {"chardevs": [socket("s", None, fd=9)]}),
        (
            ["-chardev", "socket,id=s,path=/s"],
            {"chardevs": [socket("s", "/s", server=False, nowait=False)]},
        ),
        (["-chardev", "file,id=f,path=/f"], {"chardevs": [simple("f", "file", "/f")]}),
        (["-serial", "none"], {}),
        (["-serial", "chardev:p", *PTY], {"serial_chardev_id": "p", "chardevs": WITH_PTY}),
        (["-mon", "chardev=p,mode=control", *PTY], mon_on("-mon chardev=p")),
        (["-qmp", "chardev:p", *PTY], mon_on("-qmp chardev:p")),
    ],
)
def test_an_option_changes_this_and_nothing_else(arguments: list[str], expected: dict[str, Any]) -> None:
    assert changes(*arguments) == expected


@pytest.mark.parametrize(
    ("value", "backend", "path"),
    [
        ("stdio", "stdio", None),
        ("STDIO", "stdio", None),
        ("pty", "pty", None),
        ("file,path=/f", "file", "/f"),
        ("file:/a=b", "file", "/a=b"),
        ("File:/F", "file", "/F"),
        ("socket,path=/s,server,nowait", "socket", "/s"),
        ("unix:/s,server,nowait", "socket", "/s"),
    ],
)
def test_a_serial_port_makes_its_own_chardev(value: str, backend: str, path: str | None) -> None:
    config = parse([*MINIMUM, "-serial", value])
    (chardev,) = config.chardevs
    assert (chardev.chardev_id, chardev.backend, chardev.path) == (config.serial_chardev_id, backend, path)
    assert chardev.server == chardev.nowait == (backend == "socket")


def test_several_qmp_servers_in_their_order() -> None:
    config = parse([*MINIMUM, "-qmp", "unix:/a,server,nowait", "-qmp", "unix:/b,server", "-qmp", "stdio"])
    by_id = {chardev.chardev_id: chardev for chardev in config.chardevs}
    chardevs = [by_id[chardev_id] for chardev_id in config.qmp_chardev_ids]
    assert [(each.path, each.nowait) for each in chardevs] == [("/a", True), ("/b", False), (None, False)]


@pytest.mark.parametrize("order", [1, -1])
def test_ids_that_nobody_gave_give_way_to_those_that_somebody_gave(order: int) -> None:
    pairs = [
        ["-serial", "stdio"],
        ["-qmp", "unix:/q,server,nowait"],
        ["-chardev", "pty,id=serial0"],
        ["-chardev", "pty,id=qmp0"],
    ][::order]
    config = parse([*MINIMUM, *(word for pair in pairs for word in pair)])
    backends = {chardev.chardev_id: chardev.backend for chardev in config.chardevs}
    assert len(backends) == 4
    assert (backends["serial0"], backends["qmp0"]) == ("pty", "pty")
    assert config.serial_chardev_id is not None
    assert backends[config.serial_chardev_id] == "stdio"
    assert backends[config.qmp_chardev_ids[0]] == "socket"


def test_the_order_of_options_means_nothing() -> None:
    forward = [["-m", "1G"], ["-smp", "2"], ["-append", "a", "b"], ["-serial", "chardev:p"], PTY, MINIMUM]
    one = parse([word for pair in forward for word in pair])
    other = parse([word for pair in reversed(forward) for word in pair])
    for name in VmConfig.__slots__:
        assert plain(getattr(one, name)) == plain(getattr(other, name)), name


def test_without_options_it_is_the_smallest_light_vm() -> None:
    config = parse(MINIMUM)
    assert (config.machine_type, config.cpus, config.memory_bytes) == ("microvm", 1, 256 << 20)
    assert (config.dump_guest_core, config.mem_share, config.seccomp_enabled) == (True, False, True)
    assert (config.append, config.initrd_path, config.name) == ("", None, None)
    assert (config.chardevs, config.serial_chardev_id, config.qmp_chardev_ids) == ([], None, [])


def test_disable_seccomp_warns() -> None:
    changed = changes("-disable-seccomp")
    assert changed.pop("seccomp_enabled") is False
    (warning,) = changed.pop("warnings")
    assert "-disable-seccomp" in warning
    assert not changed


@pytest.mark.parametrize("argument", ["-help", "-h", "--help", "-version", "--version"])
def test_help_and_version_need_nothing_else(argument: str) -> None:
    assert parse(["-m", "nonsense", argument, "-bogus"]).only_print == argument.strip("-").replace(
        "h", "help", argument == "-h"
    )


ACCEPTED = {
    "-boot": "strict=on", "-display": "none", "-msg": "timestamp=on", "-overcommit": "mem-lock=off",
    "-realtime": "mlock=off", "-sandbox": "on,obsolete=deny", "-no-user-config": None, "-nodefaults": None,
    "-nographic": None, "-usb": None,
}  # fmt: skip


@pytest.mark.parametrize("option", ACCEPTED)
def test_an_option_without_effect_is_only_noted(option: str) -> None:
    value = ACCEPTED[option]
    words = [option] if value is None else [option, value]
    assert changes(*words, *words) == {"no_effect": [" ".join(words)] * 2}


def test_the_accepted_options_are_all_tried() -> None:
    (table,) = (table for table in TABLES if table.title.startswith("Accepted"))
    assert {option.name for option in table.options} == set(ACCEPTED)


@pytest.mark.parametrize(
    ("arguments", "noted"),
    [
        (["-name", "a,process=b"], "-name process="),
        (["-name", "a,debug-threads=on"], "-name debug-threads="),
        (["-machine", "usb=off"], "-machine usb="),
        (["-rtc", "clock=host"], "-rtc clock="),
        (["-rtc", "utc,driftfix=slew"], "-rtc driftfix="),
        (["-smp", "4,sockets=4"], "-smp topology"),
    ],
)
def test_a_key_without_effect_is_noted(arguments: list[str], noted: str) -> None:
    (note,) = changes(*arguments)["no_effect"]
    assert note.startswith(noted)


def test_options_whose_devices_come_later_are_unknown() -> None:
    for option in ("-netdev", "-mem-path", "-blockdev"):
        with pytest.raises(ConfigurationError, match=f"^{option}: no such option"):
            parse([*MINIMUM, option, "x"])
