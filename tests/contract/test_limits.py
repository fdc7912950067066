"""Both sides of every bound, what must be given together, and what must not exist before."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.contract.bench import Bench, answers
from tests.contract.effects import COMMAND_LINE, core_is_lean
from tests.contract.guest_code import ANSWER_ONE_MORE, POWER_OFF, REPORT, SPIN, say
from vmm_main.guest_boot.boot_memory import memory_map

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("cpus", [1, 254])
def test_cpus_within_the_range(bench: Bench, cpus: int) -> None:
    assert len(bench.ask("query-cpus-fast", "-smp", str(cpus))) == cpus


@pytest.mark.parametrize("cpus", ["0", "255", "-1", "four", ""])
def test_cpus_out_of_the_range(bench: Bench, cpus: str) -> None:
    line = bench.refusal(*bench.guest(POWER_OFF), "-smp", cpus)
    assert line.startswith(f"bulkhead: -smp {cpus or repr('')}: ")
    assert "1 to 254" in line


@pytest.mark.parametrize("size", ["256", "256M", "512G", "524288M"])
def test_memory_within_the_range(bench: Bench, size: str) -> None:
    mib = 256 if size.startswith("256") else 512 << 10
    expected = sum(size_bytes for _gpa, size_bytes, kind in memory_map(mib << 20) if kind == 1)
    found = bench.booted("-m", size).memory_bytes
    assert found == expected
    assert 0 <= (mib << 20) - found < 1 << 20


@pytest.mark.parametrize(
    "size", ["255", "255M", "262143K", "513G", "524289", "536870916K", "1T", "0", "-256"]
)
def test_memory_out_of_the_range(bench: Bench, size: str) -> None:
    line = bench.refusal(*bench.guest(POWER_OFF), "-m", size)
    assert line.startswith(f"bulkhead: -m {size}: ")
    assert "256 MiB to 512 GiB" in line


@pytest.mark.parametrize("length", [1, 255])
def test_names_within_the_range(bench: Bench, length: int) -> None:
    assert bench.ask("query-name", "-name", "n" * length) == {"name": "n" * length}


@pytest.mark.parametrize("length", [0, 256])
def test_names_out_of_the_range(bench: Bench, length: int) -> None:
    line = bench.refusal(*bench.guest(POWER_OFF), "-name", "n" * length)
    assert line.startswith("bulkhead: -name ")
    assert "1 to 255 characters" in line


@pytest.mark.parametrize("name", ["MicroVm", "microvm", "MICROVM", "type=MicroVm"])
def test_the_light_machine_by_any_capitals(bench: Bench, name: str) -> None:
    assert bench.booted("-machine", name, "-append", "on a light VM").command_line == "on a light VM"


def test_without_machine_it_is_the_light_one(bench: Bench) -> None:
    """The same memory map, zero page and ACPI tables' place: the guest can't tell the difference."""
    assert bench.booted().zero_page == bench.booted("-machine", "MicroVm").zero_page


@pytest.mark.parametrize("name", ["q35", "virt", "pc"])
def test_other_machines_are_refused_by_name(bench: Bench, name: str) -> None:
    line = bench.refusal(*bench.guest(POWER_OFF), "-machine", name)
    assert line.startswith(f"bulkhead: -machine {name}: ")
    assert "allowed is microvm" in line


def test_dump_guest_core_can_be_said_either_way(bench: Bench) -> None:
    assert not core_is_lean(bench, ["-machine", "microvm,dump-guest-core=on"])


def test_a_pid_file_is_for_daemons_only(bench: Bench) -> None:
    path = bench.directory / "pid"
    line = bench.refusal(*bench.guest(POWER_OFF), "-pidfile", str(path))
    assert f"-pidfile {path}" in line
    assert "allowed only together with -daemonize" in line
    assert not path.exists()


def test_a_pid_file_must_not_exist(bench: Bench) -> None:
    path = bench.directory / "pid"
    path.write_text("somebody else's")
    line = bench.refusal(*bench.guest(SPIN), "-daemonize", "-pidfile", str(path))
    assert line == f"bulkhead: -pidfile {path}: the file exists; it must not"
    assert path.read_text() == "somebody else's"


@pytest.mark.parametrize("kind", ["file", "live socket", "directory"])
def test_the_path_of_qmp_must_be_free(bench: Bench, kind: str) -> None:
    path = bench.directory / "qmp"
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "file":
            path.write_text("precious")
        elif kind == "directory":
            path.mkdir()
        else:
            other.bind(str(path))
            other.listen()
        line = bench.refusal(*bench.guest(SPIN), "-qmp", f"unix:{path},server,nowait")
        assert line.startswith(f"bulkhead: -qmp unix:{path}: ")
        assert "Allowed is a path that doesn't exist" in line
        assert path.exists()
        assert kind != "live socket" or answers(str(path))


@pytest.mark.parametrize("backend", ["file", "socket"])
@pytest.mark.parametrize("option", ["-serial", "-chardev"])
def test_the_file_of_a_chardev_must_not_exist(bench: Bench, backend: str, option: str) -> None:
    path = bench.directory / "console"
    path.write_text("precious")
    keys = f"path={path}" + (",server,nowait" if backend == "socket" else "")
    value = f"{backend},{keys}" if option == "-serial" else f"{backend},id=c,{keys}"
    line = bench.refusal(*bench.guest(SPIN), option, value)
    assert line.startswith(f"bulkhead: {option} {backend}")
    assert str(path) in line
    assert path.read_text() == "precious"


@pytest.mark.parametrize("backend", ["file", "socket"])
def test_a_path_is_required_for_files_and_sockets(bench: Bench, backend: str) -> None:
    line = bench.refusal(*bench.guest(SPIN), "-chardev", f"{backend},id=c")
    assert f"-chardev {backend},id=c: " in line
    assert "path= " in line


@pytest.mark.parametrize("backend", ["stdio", "pty"])
def test_a_path_is_required_for_nothing_else(bench: Bench, backend: str) -> None:
    line = bench.refusal(*bench.guest(SPIN), "-chardev", f"{backend},id=c,path=/x")
    assert f"path: {backend} has no use for it" in line


@pytest.mark.parametrize("key", ["server", "nowait"])
@pytest.mark.parametrize("backend", ["stdio", "pty", "file"])
def test_only_sockets_have_servers(bench: Bench, backend: str, key: str) -> None:
    path = ",path=/nonexistent/x" if backend == "file" else ""
    line = bench.refusal(*bench.guest(SPIN), "-chardev", f"{backend},id=c{path},{key}")
    assert f"{key}: {backend} has no use for it" in line


@pytest.mark.parametrize("backend", ["null", "vc", "udp", "parallel"])
def test_there_are_four_back_ends(bench: Bench, backend: str) -> None:
    line = bench.refusal(*bench.guest(SPIN), "-chardev", f"{backend},id=c")
    assert "allowed is stdio, pty, socket or file" in line


def test_ids_are_unique(bench: Bench) -> None:
    line = bench.refusal(*bench.guest(SPIN), "-chardev", "pty,id=c", "-chardev", "pty,id=c")
    assert "id=c: another chardev has that id" in line
    assert "id= is missing" in bench.refusal(*bench.guest(SPIN), "-chardev", "pty")


def test_a_file_gives_the_guest_no_input(bench: Bench) -> None:
    """A guest that waits for a byte to answer is answered on stdio, but on a file it waits on."""
    assert bench.run(*bench.guest(ANSWER_ONE_MORE), "-serial", "stdio", stdin=b"x").stdout == b"y"
    path = bench.directory / "console"
    with bench.controlled("-serial", f"file,path={path}", code=ANSWER_ONE_MORE) as (_process, client):
        for _ in range(50):
            assert client.execute("query-status")["return"]["running"]
    assert path.read_bytes() == b""


def test_serial_is_at_ttys0s_place_only_when_asked_for(bench: Bench) -> None:
    assert bench.run(*bench.guest(say(b"x") + POWER_OFF), "-serial", "stdio").stdout == b"x"
    assert bench.run(*bench.guest(say(b"x") + POWER_OFF)).stdout == b""


def test_options_come_in_any_order(bench: Bench) -> None:
    serial, append = ["-serial", "stdio"], ["-append", *COMMAND_LINE.split()]
    first, last = bench.guest(REPORT), ["-m", "300"]
    orders = (
        [*first, *append, *serial, *last],
        [*last, *append, *first, *serial],
        [*serial, *last, *first, *append],
    )
    outputs = {bench.run(*order).stdout for order in orders}
    assert len(outputs) == 1
    assert COMMAND_LINE.encode() in outputs.pop()


def test_a_configuration_in_a_json_file_is_unknown(bench: Bench) -> None:
    config = Path(bench.directory / "vm.json")
    config.write_text("{}")
    assert "-config: no such option" in bench.refusal("-config", str(config))
