"""A file that can't be used ends the start with one line, status 1, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess

import pytest

from tests.contract.bench import MARK, Bench, new_mark, processes_marked, wait_until
from tests.contract.guest_code import SPIN
from tests.contract.odd_files import path_of

pytestmark = pytest.mark.timeout(180)

NOT_READABLE = ("missing", "unreadable", "directory", "fifo", "socket", "device", "loop", "dangling", "empty",
                "beneath a file", "in a missing directory", "too long", "control characters")  # fmt: skip
NO_KERNELS = ("text", "zeros", "short", "gzip", "truncated bzimage", "truncated elf")
EXISTING = ("empty", "text", "unreadable", "directory", "fifo", "socket", "loop", "dangling")
NO_PLACE = ("beneath a file", "in a missing directory", "too long")


def shown(path: str) -> str:
    """A path as an error shows it."""
    return path.replace("\n", r"\n").replace("\x1b", r"\x1b")


@pytest.mark.parametrize("daemonize", [False, True])
@pytest.mark.parametrize("kind", [*NOT_READABLE, *NO_KERNELS])
def test_kernels(bench: Bench, kind: str, daemonize: bool) -> None:
    path = path_of(kind, bench.directory)
    own = [
        "-serial",
        f"file,path={bench.directory}/console",
        "-qmp",
        f"unix:{bench.directory}/q,server,nowait",
    ]
    if daemonize:
        own += ["-daemonize", "-pidfile", f"{bench.directory}/pid"]
    bench.expect_refusal("-kernel", path, *own, option="-kernel", value=shown(path), unprivileged=True)


@pytest.mark.parametrize("kind", NOT_READABLE)
def test_initrds(bench: Bench, kind: str) -> None:
    path = path_of(kind, bench.directory)
    guest = bench.guest(SPIN)
    bench.expect_refusal(*guest, "-initrd", path, option="-initrd", value=shown(path), unprivileged=True)


@pytest.mark.parametrize("kind", ["unreadable", "directory", "fifo", "socket", "loop", *NO_PLACE])
def test_logs(bench: Bench, kind: str) -> None:
    path = path_of(kind, bench.directory)
    bench.expect_refusal(*bench.guest(SPIN), "-D", path, option="-D", value=path, unprivileged=True)


@pytest.mark.parametrize("kind", [*EXISTING, *NO_PLACE])
def test_pid_files(bench: Bench, kind: str) -> None:
    path = path_of(kind, bench.directory)
    arguments = [*bench.guest(SPIN), "-daemonize", "-pidfile", path]
    bench.expect_refusal(*arguments, option="-pidfile", value=path)


@pytest.mark.parametrize("option", ["-serial", "-chardev"])
@pytest.mark.parametrize("kind", [*EXISTING, *NO_PLACE])
def test_output_files(bench: Bench, kind: str, option: str) -> None:
    path = path_of(kind, bench.directory)
    value = f"file,path={path}" + (",id=c" if option == "-chardev" else "")
    bench.expect_refusal(*bench.guest(SPIN), option, value, option=option, value=path)


@pytest.mark.parametrize("option", ["-qmp", "-serial", "-chardev"])
@pytest.mark.parametrize("kind", ["empty", "directory", "fifo", "loop", "dangling", *NO_PLACE])
def test_listening_sockets(bench: Bench, kind: str, option: str) -> None:
    path = path_of(kind, bench.directory)
    keys = f"path={path},server,nowait"
    value = {
        "-qmp": f"unix:{path},server,nowait",
        "-serial": f"socket,{keys}",
        "-chardev": f"socket,id=c,{keys}",
    }
    bench.expect_refusal(*bench.guest(SPIN), option, value[option], option=option, value=path)


@pytest.mark.parametrize("option", ["-qmp", "-serial", "-chardev"])
def test_a_live_socket_is_left_alone(bench: Bench, option: str) -> None:
    path = str(bench.directory / "live")
    keys = f"path={path},server,nowait"
    value = {
        "-qmp": f"unix:{path},server,nowait",
        "-serial": f"socket,{keys}",
        "-chardev": f"socket,id=c,{keys}",
    }
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(path)
        live.listen()
        bench.expect_refusal(*bench.guest(SPIN), option, value[option], option=option, value=path)


def test_a_socket_path_must_fit(bench: Bench) -> None:
    for length in (108, 200, 4000):
        path = "/tmp/".ljust(length, "s")
        line = bench.expect_refusal(
            *bench.guest(SPIN), "-qmp", f"unix:{path},server,nowait", option="-qmp", value=path
        )
        assert "1 to 107" in line


@pytest.mark.parametrize("kind", ["missing", "empty", "directory", "fifo", "socket", "loop", *NO_PLACE])
def test_sockets_to_connect_to(bench: Bench, kind: str) -> None:
    path = path_of(kind, bench.directory)
    bench.expect_refusal(*bench.guest(SPIN), "-serial", f"socket,path={path}", option="-serial", value=path)


def test_the_same_socket_twice(bench: Bench) -> None:
    path = str(bench.directory / "q")
    qmp = ["-qmp", f"unix:{path},server,nowait"]
    bench.expect_refusal(*bench.guest(SPIN), *qmp, *qmp, option="-qmp", value=path)


@pytest.mark.parametrize("kind", ["closed", "file", "pipe", "connected", "datagram"])
def test_descriptors_that_are_no_listening_socket(bench: Bench, kind: str) -> None:
    (bench.directory / "file").write_text("x")
    one, other = socket.socketpair()
    reading, writing = os.pipe()
    with (
        one,
        other,
        socket.socket(type=socket.SOCK_DGRAM) as datagram,
        (bench.directory / "file").open() as file,
    ):
        descriptors = {
            "closed": 250,
            "file": file.fileno(),
            "pipe": reading,
            "connected": one.fileno(),
            "datagram": datagram.fileno(),
        }
        fd = descriptors[kind]
        bench.expect_refusal(
            *bench.guest(SPIN), "-chardev", f"socket,id=c,fd={fd},server,nowait",
            option="-chardev", value=f"fd={fd}", pass_fds=() if kind == "closed" else (fd,),
        )  # fmt: skip
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("option", ["-kernel", "-initrd"])
@pytest.mark.parametrize("path", ["/dev/fdset/9", "/dev/fdset/", "/dev/fdset/x", "/dev/fdset/1"])
def test_descriptor_sets(bench: Bench, path: str, option: str) -> None:
    """No such set, or (1) one whose only descriptor is open for writing."""
    (bench.directory / "file").write_text("x")
    fd = os.open(bench.directory / "file", os.O_WRONLY)
    kernel = bench.guest(SPIN) if option == "-initrd" else []
    arguments = [*kernel, option, path, "-add-fd", f"fd={fd},set=1"]
    bench.expect_refusal(*arguments, option=option, value=path, pass_fds=(fd,))
    os.close(fd)


def test_a_closed_descriptor_in_a_set(bench: Bench) -> None:
    bench.expect_refusal(*bench.guest(SPIN), "-add-fd", "fd=250,set=1", option="-add-fd", value="fd=250")


def test_a_directory_that_may_not_be_written(bench: Bench) -> None:
    closed = bench.directory / "closed"
    closed.mkdir(mode=0o500)
    guest = bench.guest(SPIN)
    path = f"{closed}/x"
    for option, value in (
        ("-D", path),
        ("-qmp", f"unix:{path},server,nowait"),
        ("-serial", f"file,path={path}"),
        ("-serial", f"socket,path={path},server,nowait"),
    ):
        bench.expect_refusal(*guest, option, value, option=option, value=path, unprivileged=True)
    arguments = [*guest, "-daemonize", "-pidfile", path]
    bench.expect_refusal(*arguments, option="-pidfile", value=path, unprivileged=True)


def test_what_was_refused_works_once_it_is_right(bench: Bench) -> None:
    """The files of a start that failed are gone, so that the next start finds nothing in its way."""
    console = ["-serial", f"file,path={bench.directory}/console"]
    bench.expect_refusal("-kernel", "/dev/null", *console, option="-kernel", value="/dev/null")
    with bench.controlled(*console):
        assert (bench.directory / "console").exists()


def test_a_process_left_behind_would_be_noticed() -> None:
    mark = new_mark()
    ran = subprocess.run(
        ["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!; exit 1"],
        env={**os.environ, MARK: mark},
        capture_output=True,
        check=False,
        timeout=60,
    )
    planted = int(ran.stdout)
    try:
        # While it goes from sh to sleep the kernel shows no environment of its.
        wait_until(lambda: processes_marked(mark) == [planted], "it isn't noticed")
    finally:
        os.kill(planted, signal.SIGKILL)
    wait_until(lambda: processes_marked(mark) == [], "it is still there")
