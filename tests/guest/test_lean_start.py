"""The modules that are loaded at the first KVM_RUN: each one more makes every start slower (DESIGN §12).

A module that shows up here unlisted is either imported later (most are), or gets its line and its reason.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.guest_boot.synthetic_kernels import bzimage
from tools.benchmarks.first_byte_guest import CODE, FIRST_BYTE, elf_kernel

pytestmark = pytest.mark.timeout(120)

CHECKOUT = Path(__file__).resolve().parents[2]
_DEADLINE_S = 60.0
_TRACE = "modules at the first KVM_RUN: "

# What `python3 -I -S -E` loads before it runs a line of ours: 4 ms, nothing of which can be left out.
_INTERPRETER = {
    "__main__", "_abc", "_codecs", "_frozen_importlib", "_frozen_importlib_external", "_imp", "_io",
    "_signal", "_thread", "_warnings", "_weakref", "abc", "builtins", "codecs", "encodings",
    "encodings.aliases", "encodings.utf_8", "io", "marshal", "posix", "sys", "time", "zipimport",
}  # fmt: skip

# Built into the interpreter: they cost a dictionary each.
_BUILT_IN = {"_stat", "_struct", "errno", "faulthandler", "fcntl", "gc", "select"}

# These cost. The milliseconds are of a machine whose empty interpreter takes 4.3; where that takes 10, they
# take twice as long, too.
_COSTLY = {
    # 0.3: the run-time half of every cffi extension; KVM's ioctls and the vCPU loop are one.
    "_cffi_backend",
    # 0.1: annotations stay text that nobody evaluates, which saves more than this in importing `typing`.
    "__future__",
}  # fmt: skip

# Ours: 0.02 to 0.1 each, 2.6 in all.
_OURS = {
    "ipc": "",
    "ipc.lean_start": "direct_finder",
    "vmm_main": "",
    "vmm_main.chardev": "backend factory host_stream stdio",
    "vmm_main.command_line": "channel_options combinations key_value_list known_options machine_options "
    "option_table parser value_types",
    "vmm_main.errors": "",
    "vmm_main.event_loop": "",
    "vmm_main.fd_sets": "",
    "vmm_main.guest_boot": "boot_file boot_memory boot_request cpu_entry elf loader pvh reset_entry",
    "vmm_main.guest_boot.acpi": "aml dsdt tables",
    "vmm_main.guest_memory": "",
    "vmm_main.kvm": "_kvm _kvm.lib cpu_state cpuid early_setup system vcpu vm",
    "vmm_main.legacy_devices": "i8042 power_registers rtc uart16550",
    "vmm_main.log": "",
    "vmm_main.machine": "address_map gsi_map io_bus machine microvm",
    "vmm_main.process_life": "",
    "vmm_main.self_confinement": "",
    "vmm_main.start": "",
    "vmm_main.vm_config": "",
}

# The ELF kernel's is there for every start; the other formats are imported only when they are there.
_OF_FORMAT: dict[str, set[str]] = {
    "pvh": set(),
    "bzimage": {"vmm_main.guest_boot.boot_params", "vmm_main.guest_boot.bzimage"},
    "flat": {"vmm_main.guest_boot.boot_params", "vmm_main.guest_boot.flat_image"},
}


# The table of -D, by which these tests get the list.
_OF_LOG = {"vmm_main.command_line.process_options"}

# The sockets, for a VM that has QMP; the server comes with the first client. Names of files are taken apart
# and encoded by os, which is worth its 0.6 ms here only.
_OS = {"os", "_collections_abc", "genericpath", "os.path", "posixpath", "stat"}
_OF_QMP = {"vmm_main.chardev.unix_listener", "vmm_main.qmp", "vmm_main.qmp.listener", "_socket"} | _OS


@pytest.fixture(autouse=True, scope="module")
def _bundle(program: str) -> None:
    """The start that makes the bundle of modules is another one; the first makes their .pyc files."""
    for _ in range(2):
        subprocess.run([program, "-version"], check=True, stdout=subprocess.DEVNULL, timeout=_DEADLINE_S)


def _kernel(form: str) -> bytes:
    if form == "pvh":
        return elf_kernel()
    if form == "flat":
        return CODE + b"\x90" * 4096
    # Linux's 64-bit entry is 0x200 bytes into the protected-mode code.
    return bzimage(payload=(bytes(0x200) + CODE).ljust(4096, b"\x90"))


def _listed(form: str) -> set[str]:
    ours = {f"{package}.{name}" for package, names in _OURS.items() for name in names.split()}
    return _INTERPRETER | _BUILT_IN | _COSTLY | set(_OURS) | ours | _OF_LOG | _OF_FORMAT[form]


def _modules_at_first_run(program: str, directory: Path, form: str, *arguments: str) -> set[str]:
    """Starts a VM, waits for the byte that its guest writes, ends it, and reads its log."""
    kernel, log = directory / "kernel", directory / "log"
    kernel.write_bytes(_kernel(form))
    with subprocess.Popen(
        [program, "-kernel", str(kernel), "-serial", "stdio", "-D", str(log), *arguments],
        env={**os.environ, "BULKHEAD_TRACE": "modules"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as vm:
        try:
            assert vm.stdout is not None
            assert select.select([vm.stdout], [], [], _DEADLINE_S)[0], "no byte from the guest"
            assert vm.stdout.read(1) == FIRST_BYTE
        finally:
            vm.kill()
    (line,) = [line for line in log.read_text().splitlines() if _TRACE in line]
    return set(line.partition(_TRACE)[2].split())


@pytest.mark.parametrize("form", _OF_FORMAT)
def test_the_modules_of_a_start_are_the_listed_ones(program: str, tmp_path: Path, form: str) -> None:
    loaded = _modules_at_first_run(program, tmp_path, form)
    assert loaded - _listed(form) == set(), "not listed: import it later, or give its reason"
    assert _listed(form) - loaded == set(), "listed, and not loaded any more"


_RNG = ["-object", "rng-random,id=source,filename=/dev/urandom", "-device", "virtio-rng-device,rng=source"]


def test_the_starts_that_make_bundles_are_whole_ones(program: str, tmp_path: Path) -> None:
    folder = CHECKOUT / "vmm_main" / "__pycache__"
    made = {f"{name}.{sys.implementation.cache_tag}.bundle" for name in ("start", "devices", "zygote")}
    for names in (made, {name for name in made if name.startswith("devices")}, {"none"}):
        for name in names:
            (folder / name).unlink(missing_ok=True)
        _modules_at_first_run(program, tmp_path, "pvh", *_RNG)
        (tmp_path / "log").unlink()
        assert made <= {path.name for path in folder.iterdir()}


def test_a_qmp_socket_adds_its_listener_only(program: str, tmp_path: Path) -> None:
    qmp = ["-qmp", f"unix:{tmp_path}/qmp,server,nowait"]
    assert _modules_at_first_run(program, tmp_path, "pvh", *qmp) == _listed("pvh") | _OF_QMP
