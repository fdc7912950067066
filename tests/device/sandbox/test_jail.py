"""The jail of a device process, as the process itself told it and as it looks from outside."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_procs.data_plane._data_plane import lib
from tests.device.sandbox.told_kinds import FOLDERS
from tests.device.sandbox.told_rig import ToldRig, told_device
from tests.device.zygote.zygote_rig import LIMITS, ZygoteRig

OWN_NAMESPACES = ("cgroup", "ipc", "mnt", "pid", "user", "uts")
NO_CAPABILITIES = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0000000000000000")


@pytest.fixture(scope="module", params=FOLDERS)
def device(confined: ZygoteRig, request: pytest.FixtureRequest) -> Iterator[ToldRig]:
    with told_device(confined, request.param) as rig:
        rig.get_ready()
        rig.request("GET_METRICS", "METRICS")
        yield rig


@pytest.fixture(scope="module")
def sibling(confined: ZygoteRig, device: ToldRig) -> Iterator[ToldRig]:
    with told_device(confined, FOLDERS[0]) as rig:
        yield rig


def fields_of(status: str) -> dict[str, str]:
    """/proc/PID/status as a table."""
    pairs = (line.partition(":") for line in status.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def namespaces_of(certificate: dict[str, list[str]]) -> dict[str, str]:
    return {link.partition(":")[0]: link for link in certificate["namespaces"]}


def test_capabilities_are_gone(device: ToldRig) -> None:
    told = fields_of(device.certificate["status"])
    seen = fields_of(Path(f"/proc/{device.pid}/status").read_text(encoding="utf-8"))
    for status in (told, seen):
        assert {name: status[name] for name in NO_CAPABILITIES} == NO_CAPABILITIES
        assert status["NoNewPrivs"] == "1"


def test_namespaces_are_its_own(device: ToldRig, sibling: ToldRig) -> None:
    told = namespaces_of(device.certificate)
    for name in OWN_NAMESPACES:
        assert told[name] not in (
            os.readlink(f"/proc/self/ns/{name}"),
            namespaces_of(sibling.certificate)[name],
        )


def test_the_net_namespace_is_the_vms_and_empty(device: ToldRig, sibling: ToldRig) -> None:
    told = namespaces_of(device.certificate)["net"]
    assert told == namespaces_of(sibling.certificate)["net"]
    assert told != os.readlink("/proc/self/ns/net")
    interfaces = Path(f"/proc/{device.pid}/net/dev").read_text(encoding="utf-8").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert not Path(f"/proc/{device.pid}/net/route").read_text(encoding="utf-8").splitlines()[1:]


def test_its_root_is_empty_and_read_only(device: ToldRig) -> None:
    (mount,) = device.certificate["mountinfo"].splitlines()
    _, _, _, root, point, options, *_ = mount.split()
    assert (root, point) == ("/", "/")
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))
    assert re.search(r" - tmpfs \S+ ro", mount)
    assert Path(f"/proc/{device.pid}/mountinfo").read_text(encoding="utf-8").count("\n") == 1


def test_it_was_born_with_its_control_socket_only(device: ToldRig) -> None:
    links = device.certificate["descriptors"]
    assert links.pop(3).startswith("socket:")
    assert links == {0: "/dev/null", 1: "/dev/null", 2: "/dev/null"}


def test_uid_and_gid_are_its_own(confined: ZygoteRig, device: ToldRig, sibling: ToldRig) -> None:
    def outside(rig: ToldRig, kind: str) -> int:
        inside, outside, count = map(int, rig.certificate[f"{kind}_map"].split())
        assert (inside, count) == (0, 1)
        return outside

    seen = fields_of(Path(f"/proc/{device.pid}/status").read_text(encoding="utf-8"))
    assert len(set(seen["Uid"].split())) == len(set(seen["Gid"].split())) == 1
    if confined.own_uids:
        assert int(seen["Uid"].split()[0]) == outside(device, "uid") != os.geteuid()
        assert int(seen["Gid"].split()[0]) == outside(device, "gid") != os.getegid()
        assert outside(device, "uid") != outside(sibling, "uid")
        assert seen["Groups"] == ""
    else:
        assert int(seen["Uid"].split()[0]) == os.geteuid()


def test_limits_are_as_told(device: ToldRig) -> None:
    table = {
        line[:26].strip(): line[26:].split()[:2] for line in device.certificate["limits"].splitlines()[1:]
    }
    assert table["Max open files"] == [str(LIMITS["nofile"])] * 2
    assert table["Max file size"] == ["0", "0"]
    assert table["Max data size"] == [str(LIMITS["data"])] * 2
    assert table["Max core file size"] == ["0", "0"]


def test_every_thread_is_under_two_filters(device: ToldRig) -> None:
    """The zygote's, which it was born with, and its own."""
    threads = list(Path(f"/proc/{device.pid}/task").iterdir())
    assert len(threads) == 2
    for thread in threads:
        status = fields_of((thread / "status").read_text(encoding="utf-8"))
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
        assert status["Seccomp_filters"] == "2"


def test_it_is_the_first_process_of_its_session(device: ToldRig) -> None:
    assert fields_of(device.certificate["status"])["NSsid"].split()[-1] == "1"
    assert os.getsid(device.pid) != os.getsid(0)


def test_landlock_is_certified_as_the_kernel_has_it(device: ToldRig) -> None:
    assert device.certificate["landlock"] == lib.landlock_version()


def test_nobody_may_look_into_it(device: ToldRig) -> None:
    """Not dumpable: /proc gives its memory to root only."""
    assert os.stat(f"/proc/{device.pid}/maps").st_uid == 0


def test_the_host_has_kept_its_mounts(device: ToldRig) -> None:
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert "bulkhead-empty" not in mounts
    assert Path("/proc/self/status").exists()
