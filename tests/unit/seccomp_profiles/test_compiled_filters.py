"""The compiled filters, installed in a process of their own: what they let through, answer and refuse."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seccomp_profiles.compile_profiles import compile_profile, compiled_source, system_call_number
from seccomp_profiles.profile import Profile, ProfileError, Rule, read_profiles
from vmm_main.kvm._kvm import ffi, lib

CHECKOUT = Path(__file__).resolve().parents[3]
PROGRAM = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[1])
from vmm_main.kvm._kvm import ffi, lib
libc = ctypes.CDLL(None, use_errno=True)
profile, disabled, *call = sys.argv[2:]
if lib.no_new_privileges() < 0 or lib.refused_call_report_to(2) < 0:
    sys.exit(3)
if disabled == "disabled":
    lib.filters_disable()
arguments = [ctypes.c_long(int(word)) for word in call]
if lib.filters_install(profile.encode()) < 0:
    sys.exit(4)
libc.syscall(*arguments)
os._exit(ctypes.get_errno())
"""
SIGCHLD, AF_INET, AF_UNIX, STREAM = 17, 2, 1, 1
RWX, ANONYMOUS_PRIVATE = 7, 0x22
TIOCSTI, KVM_RUN, FIONBIO = 0x5412, 0xAE80, 0x5421
EBADF, ENOSYS, EACCES = 9, 38, 13

REFUSED = [
    *((profile, "socket", (AF_INET, STREAM, 0)) for profile in ("main", "vcpu")),
    *((profile, "socket", (AF_UNIX, STREAM, 0)) for profile in ("main", "vcpu")),
    ("main", "connect", (-1, 0, 0)),
    ("vcpu", "sendto", (-1, 0, 0, 0, 0, 0)),
    *((profile, "execve", (0, 0, 0)) for profile in ("main", "vcpu")),
    *((profile, "ptrace", (0x4206, 1, 0, 0)) for profile in ("main", "vcpu")),
    *((profile, "clone", (SIGCHLD, 0, 0, 0, 0)) for profile in ("main", "vcpu")),
    *((profile, "mmap", (0, 4096, RWX, ANONYMOUS_PRIVATE, -1, 0)) for profile in ("main", "vcpu")),
    *((profile, "mprotect", (0, 0, RWX)) for profile in ("main", "vcpu")),
    *((profile, "ioctl", (-1, TIOCSTI, 0)) for profile in ("main", "vcpu")),
    *((profile, "mount", (0, 0, 0, 0, 0)) for profile in ("main", "vcpu")),
    *((profile, "bpf", (0, 0, 0)) for profile in ("main", "vcpu")),
    *((profile, "process_vm_readv", (1, 0, 0, 0, 0, 0)) for profile in ("main", "vcpu")),
    *((profile, "setns", (-1, 0)) for profile in ("main", "vcpu")),
    ("main", "prctl", (23, 0)),
    ("vcpu", "sendmsg", (-1, 0, 0)),
    ("vcpu", "ioctl", (-1, FIONBIO, 0)),
]
# With the errno that they end with: they were let through, or answered so.
ALLOWED = [
    ("main", "accept4", (-1, 0, 0, 0), EBADF),
    ("main", "ioctl", (-1, KVM_RUN, 0), EBADF),
    ("vcpu", "ioctl", (-1, KVM_RUN, 0), EBADF),
    ("main", "clone3", (0, 0), ENOSYS),
    ("vcpu", "openat", (-100, 0, 0), EACCES),
    ("main", "ioctl", (-1, FIONBIO, 0), EBADF),
]


def run(profile: str, state: str, name: str, arguments: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in (system_call_number(name), *arguments)]
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(CHECKOUT), profile, state, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize(
    ("profile", "name", "arguments"), REFUSED, ids=[f"{p}-{n}{i}" for i, (p, n, _) in enumerate(REFUSED)]
)
def test_mains_threads_are_refused_and_say_so(profile: str, name: str, arguments: tuple[int, ...]) -> None:
    ran = run(profile, "enabled", name, arguments)
    assert ran.returncode == 128 + signal.SIGSYS
    assert ran.stderr.startswith(f"bulkhead: refused system call {name} ({system_call_number(name)}) at 0x")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("profile", "name", "arguments"),
    [case for case in REFUSED if case[1] not in ("clone", "execve")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_without_filters_the_call_is_made(profile: str, name: str, arguments: tuple[int, ...]) -> None:
    ran = run(profile, "disabled", name, arguments)
    assert 0 <= ran.returncode < 128
    assert ran.stderr == ""


@pytest.mark.parametrize(
    ("profile", "name", "arguments", "error"),
    ALLOWED,
    ids=[f"{p}-{n}{i}" for i, (p, n, _, _) in enumerate(ALLOWED)],
)
def test_what_is_needed_is_let_through(
    profile: str, name: str, arguments: tuple[int, ...], error: int
) -> None:
    ran = run(profile, "enabled", name, arguments)
    assert (ran.returncode, ran.stderr) == (error, "")


def test_the_built_tables_are_those_of_the_files() -> None:
    for profile in read_profiles():
        rules = ffi.new("struct filter_rule **")
        count = lib.filters_rules(profile.name.encode(), rules)
        built = [
            (ffi.string(rule.call).decode(), ffi.string(rule.condition).decode(), rule.number)
            for rule in (rules[0][i] for i in range(count))
        ]
        assert built == [(rule.call, rule.condition, system_call_number(rule.call)) for rule in profile.rules]


def test_a_profile_that_there_is_not(tmp_path: Path) -> None:
    assert lib.filters_install(b"teapot") == -2
    assert lib.filters_rules(b"teapot", ffi.new("struct filter_rule **")) == -2


def test_calls_have_names() -> None:
    assert ffi.string(lib.system_call_name(system_call_number("openat"))) == b"openat"
    for number in (-1, 100_000):
        assert lib.system_call_name(number) == ffi.NULL


def test_a_call_that_no_machine_has_is_refused() -> None:
    with pytest.raises(ProfileError, match="make_coffee"):
        compile_profile(Profile("planted", (Rule("make_coffee", (), 0, "coffee"),)))


def test_the_generated_file_is_the_same_every_time() -> None:
    assert compiled_source(read_profiles()) == compiled_source(read_profiles())
