"""Modules in load order, the initramfs, and the kernel inside a bzImage, on synthetic inputs."""

from __future__ import annotations

import lzma
import struct
import subprocess
from pathlib import Path

import pytest

from tools.debian_kernel.busybox import BUSYBOX
from tools.debian_kernel.initramfs import Initramfs
from tools.debian_kernel.module_order import ModuleError, load_order, module_name, read_module
from tools.guest_image.vmlinux import KernelFormatError, extract_vmlinux, payload_of


def _module(directory: Path, name: str, depends: str | None) -> None:
    line = b"" if depends is None else f"depends={depends}".encode() + b"\0"
    image = b"\x7fELF junk\0license=GPL\0" + line + b"name=x\0"
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(image) if name.endswith(".xz") else image)


def test_dependencies_load_first_and_once(tmp_path: Path) -> None:
    _module(tmp_path, "fs/9p/9p.ko", "9pnet,fscache")
    _module(tmp_path, "fs/fscache.ko", "netfs")
    _module(tmp_path, "fs/netfs.ko", "")
    _module(tmp_path, "net/9pnet.ko", None)
    _module(tmp_path, "net/9pnet-virtio.ko", "9pnet")
    names = [module_name(path) for path in load_order(tmp_path, ["9p", "9pnet_virtio"])]
    assert names == ["9pnet", "netfs", "fscache", "9p", "9pnet_virtio"]


def test_compressed_modules_are_read(tmp_path: Path) -> None:
    _module(tmp_path, "a.ko.xz", "b")
    _module(tmp_path, "b.ko.xz", "")
    order = load_order(tmp_path, ["a"])
    assert [module_name(path) for path in order] == ["b", "a"]
    assert read_module(order[0]).startswith(b"\x7fELF")


def test_built_in_modules_need_no_file(tmp_path: Path) -> None:
    _module(tmp_path, "a.ko", "built-in")
    (tmp_path / "modules.builtin").write_text("kernel/lib/built-in.ko\n")
    assert [path.name for path in load_order(tmp_path, ["a", "built_in"])] == ["a.ko"]


def test_missing_module_is_named_with_who_needs_it(tmp_path: Path) -> None:
    _module(tmp_path, "a.ko", "gone")
    with pytest.raises(ModuleError, match=r"no module gone \(a needs it\)"):
        load_order(tmp_path, ["a"])


def test_initramfs_is_read_by_cpio(tmp_path: Path) -> None:
    path = tmp_path / "initramfs"
    with Initramfs(path) as archive:
        archive.character_device("dev/console", 5, 1)
        archive.file("etc/acpi/action", b"#!/bin/sh\n", 0o755)
        archive.file("etc/odd", b"123")
        archive.symlink("init", "bin/busybox")
    listed = subprocess.run(
        [str(BUSYBOX), "cpio", "-t", "-v"], input=path.read_bytes(), capture_output=True, check=True
    ).stdout.decode()
    lines = [line.split() for line in listed.splitlines()]
    assert {line[-1] if "->" not in line else line[-3] for line in lines} == {
        *("dev", "dev/console", "etc", "etc/acpi", "etc/acpi/action", "etc/odd", "init")
    }
    modes = {line[-1]: line[0] for line in lines}
    assert modes["etc/acpi/action"] == "-rwxr-xr-x"
    assert modes["dev/console"] == "crw-------"
    out = subprocess.run(
        [str(BUSYBOX), "cpio", "-i", "--to-stdout", "etc/odd"],
        input=path.read_bytes(),
        capture_output=True,
        check=True,
    )
    assert out.stdout == b"123"


def _bzimage(payload: bytes) -> bytes:
    """A bzImage of one setup sector with its payload 64 bytes into the protected-mode part."""
    image = bytearray(2 * 512 + 64) + payload
    image[0x1F1] = 1
    struct.pack_into("<II", image, 0x248, 64, len(payload))
    return bytes(image)


def test_elf_comes_out_of_a_bzimage(tmp_path: Path) -> None:
    elf = b"\x7fELF" + bytes(range(256)) * 1000
    packed = subprocess.run(["lz4", "-l", "-c"], input=elf, capture_output=True, check=True).stdout
    bzimage = tmp_path / "bzImage"
    bzimage.write_bytes(_bzimage(packed + struct.pack("<I", len(elf))))
    extract_vmlinux(bzimage, tmp_path / "vmlinux")
    assert (tmp_path / "vmlinux").read_bytes() == elf


def test_other_compressions_are_refused() -> None:
    with pytest.raises(KernelFormatError, match="begins with 1f8b0800"):
        payload_of(_bzimage(b"\x1f\x8b\x08\x00" + bytes(64)))
