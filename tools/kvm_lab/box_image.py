"""The box's kernel and initramfs, made from Debian's packages and cached by what they were made of."""

from __future__ import annotations

import shutil
from pathlib import Path

from tools.build_cache import cached
from tools.debian_kernel import module_order, package
from tools.debian_kernel.busybox import add_busybox, busybox_content
from tools.debian_kernel.initramfs import Initramfs

HERE = Path(__file__).parent
META_PACKAGE = "linux-image-amd64"

# What the box's kernel needs, apart from what is built in; dependencies are found (module_order).
MODULES = (
    "virtio_pci",  # the bus of everything below
    "9pnet_virtio",  # the host's root and the share
    "9p",
    "overlay",  # writes on top of the host's root
    "virtio_blk",  # the scratch disk
    "crc32c_generic",  # ext4 asks for it by name when it mounts
    "ext4",
    "virtio_console",  # the command's streams
    "virtio_rng",
    "kvm_amd",  # what the box is for: QEMU's software CPU has AMD's SVM
    "tun",
    "bridge",
    "vhost_net",
    "vhost_vsock",
    "loop",
)


def box_image() -> Path:
    """The directory with the box's `kernel` and `initramfs`, made if need be.

    Raises:
        PackageError, ModuleError, BusyboxError: what they are made of is missing.
    """
    kernel = package.current_kernel(META_PACKAGE)
    recipe = [
        *sorted(HERE.glob("box_*.sh")),
        HERE / "box_image.py",
        *sorted((HERE.parent / "debian_kernel").glob("*.py")),
    ]
    parts: list[str | bytes | Path] = [kernel.name, kernel.version, kernel.sha256, busybox_content(), *recipe]

    def make(directory: Path) -> None:
        package.extract(kernel, ["./boot/vmlinuz-*", "./lib/modules/*"], directory)
        (compressed_kernel,) = (directory / "boot").glob("vmlinuz-*")
        compressed_kernel.rename(directory / "kernel")
        _write_initramfs(directory / "initramfs", directory / "lib" / "modules")
        shutil.rmtree(directory / "boot")
        shutil.rmtree(directory / "lib")

    return cached("box", parts, make)


def _write_initramfs(path: Path, modules: Path) -> None:
    with Initramfs(path) as archive:
        for name in ("dev", "proc", "sys"):
            archive.directory(name)
        archive.character_device("dev/console", 5, 1)
        archive.file("init", (HERE / "box_init.sh").read_bytes(), 0o755)
        archive.file("box_command.sh", (HERE / "box_command.sh").read_bytes())
        add_busybox(archive)
        order = module_order.load_order(modules, MODULES)
        for module in order:
            archive.file(f"modules/{module_order.module_name(module)}.ko", module_order.read_module(module))
        names = "".join(f"{module_order.module_name(module)}.ko\n" for module in order)
        archive.file("modules/order", names.encode())
