"""Makes the guest's kernel and initramfs from Debian's packages, cached by what they were made of."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.build_cache import cached
from tools.debian_kernel import module_order, package
from tools.debian_kernel.busybox import add_busybox, busybox_content
from tools.debian_kernel.initramfs import Initramfs
from tools.guest_image.vmlinux import extract_vmlinux, flatten

HERE = Path(__file__).parent
META_PACKAGE = "linux-image-cloud-amd64"

# Debian's cloud kernel has all of these as modules; what they depend on is found (module_order).
MODULES = (
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "virtio_balloon",
    "vmw_vsock_virtio_transport",
    "overlay",
    "evdev",  # the power button's event, for acpid
    "button",
)

PROFILE = "export PATH=/bin HOME=/root PS1='guest# '\ncd /root\n"


@dataclass(frozen=True)
class GuestImage:
    """Where a guest's files are.

    Attributes:
        directory: Holds them all.
    """

    directory: Path

    @property
    def bzimage(self) -> Path:
        """The kernel as distributed: setup header and compressed kernel."""
        return self.directory / "bzImage"

    @property
    def vmlinux(self) -> Path:
        """The same kernel as an ELF file with a PVH note."""
        return self.directory / "vmlinux"

    @property
    def flat(self) -> Path:
        """The same kernel as a flat image, to be loaded at 16 MiB."""
        return self.directory / "vmlinux.bin"

    @property
    def initramfs(self) -> Path:
        """The user space."""
        return self.directory / "initramfs"

    @property
    def disk_initramfs(self) -> Path:
        """What stands between the kernel and a root disk: its drivers, which Debian has as modules."""
        return self.directory / "disk-initramfs"


def guest_image() -> GuestImage:
    """The guest's files, made if need be.

    Raises:
        PackageError, ModuleError, BusyboxError, KernelFormatError: what they are made of is missing or odd.
    """
    kernel = package.current_kernel(META_PACKAGE)
    own = [path for path in sorted(HERE.iterdir()) if path.suffix in (".py", ".sh", "") and path.is_file()]
    recipe = [*own, *sorted((HERE.parent / "debian_kernel").glob("*.py"))]
    parts: list[str | bytes | Path] = [kernel.name, kernel.version, kernel.sha256, busybox_content(), *recipe]

    def make(directory: Path) -> None:
        image = GuestImage(directory)
        package.extract(kernel, ["./boot/vmlinuz-*", "./lib/modules/*"], directory)
        (packed,) = (directory / "boot").glob("vmlinuz-*")
        packed.rename(image.bzimage)
        extract_vmlinux(image.bzimage, image.vmlinux)
        flatten(image.vmlinux, image.flat)
        modules = module_order.load_order(directory / "lib" / "modules", MODULES)
        _write_initramfs(image.initramfs, modules)
        _write_disk_initramfs(image.disk_initramfs, modules)
        shutil.rmtree(directory / "boot")
        shutil.rmtree(directory / "lib")

    return GuestImage(cached("guest", parts, make))


def _write_initramfs(path: Path, modules: Sequence[Path]) -> None:
    with Initramfs(path) as archive:
        for name in ("dev", "proc", "sys", "root", "run", "tmp"):
            archive.directory(name)
        archive.directory("var/log")  # acpid ends where it can't write its log
        archive.character_device("dev/console", 5, 1)
        archive.symlink("init", "bin/busybox")
        archive.symlink("sbin", "bin")
        archive.file("etc/inittab", (HERE / "guest_inittab").read_bytes())
        archive.file("etc/rcS", (HERE / "guest_rcS.sh").read_bytes(), 0o755)
        archive.file("etc/profile", PROFILE.encode())
        archive.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n")
        archive.file("etc/acpi/PWRF/00000080", b"#!/bin/sh\nexec poweroff\n", 0o755)
        add_busybox(archive)
        _add_modules(archive, modules)


def _write_disk_initramfs(path: Path, modules: Sequence[Path]) -> None:
    with Initramfs(path) as archive:
        for name in ("dev", "proc", "sys", "mnt"):
            archive.directory(name)
        archive.character_device("dev/console", 5, 1)
        archive.symlink("sbin", "bin")
        archive.file("init", (HERE / "disk_init.sh").read_bytes(), 0o755)
        add_busybox(archive)
        _add_modules(archive, modules)


def _add_modules(archive: Initramfs, modules: Sequence[Path]) -> None:
    """Adds modules, and the order in which they load."""
    for module in modules:
        archive.file(f"modules/{module_order.module_name(module)}.ko", module_order.read_module(module))
    names = "".join(f"{module_order.module_name(module)}.ko\n" for module in modules)
    archive.file("modules/order", names.encode())
