"""Puts kernel, initrd and what they expect into guest memory, at the first boot and at every reboot."""

from __future__ import annotations

from vmm_main.guest_boot.boot_file import BootFile
from vmm_main.guest_boot.boot_request import BootRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.boot_memory import BootMemory
    from vmm_main.guest_boot.cpu_entry import CpuEntry

_HEAD_BYTES = 0x1000
_ALLOWED_KERNELS = "a bzImage, an ELF kernel for x86-64 or a flat x86-64 image (none of them compressed)"
_ALLOWED_INITRDS = "a regular file that isn't empty"


class BootImages:
    """The files one VM boots from, open until close().

    The descriptors are kept because a guest's reboot reads the files again, perhaps long after main has lost
    the right to open them.
    """

    __slots__ = ("_initrd", "_kernel")

    def __init__(
        self,
        kernel_path: str,
        initrd_path: str | None = None,
        *,
        kernel_fd: int | None = None,
        initrd_fd: int | None = None,
    ) -> None:
        """Opens the files.

        Args:
            kernel_path: As the user wrote it.
            initrd_path: As the user wrote it, or None.
            kernel_fd: A descriptor for kernel_path that stays the caller's (/dev/fdset); it is duplicated.
            initrd_fd: The same for initrd_path.

        Raises:
            GuestImageError: A file can't be opened, is no regular file or is empty.
        """
        self._kernel = BootFile("-kernel", kernel_path, _ALLOWED_KERNELS, kernel_fd)
        self._initrd: BootFile | None = None
        if initrd_path is not None:
            try:
                self._initrd = BootFile("-initrd", initrd_path, _ALLOWED_INITRDS, initrd_fd)
            except Exception:
                self._kernel.close()
                raise

    def close(self) -> None:
        """Closes the descriptors; closing twice does nothing."""
        self._kernel.close()
        if self._initrd is not None:
            self._initrd.close()

    @property
    def told(self) -> list[tuple[str, int]]:
        """How the user asked for each, and its descriptor: for an audit."""
        return [file.told for file in (self._kernel, self._initrd) if file is not None]

    def load(self, memory: BootMemory, append: str, acpi_rsdp_gpa: int) -> CpuEntry:
        """Loads everything the boot CPU needs, by the kernel's format.

        Args:
            memory: The guest's memory; it needn't be clean.
            append: The kernel's command line.
            acpi_rsdp_gpa: Where the RSDP is, 0 for no ACPI.

        Returns:
            The boot CPU's state.

        Raises:
            GuestImageError: A file is none of the formats, damaged, truncated meanwhile or doesn't fit.
            ConfigurationError: The command line is too long for this kernel.
        """
        kernel = self._kernel
        kernel.look_again()
        head = kernel.read(0, min(_HEAD_BYTES, kernel.size_bytes))
        request = BootRequest(kernel, head, self._initrd, memory, append=append, acpi_rsdp_gpa=acpi_rsdp_gpa)
        # Each format is imported only when it is there: all of them would cost half a millisecond.
        if head.startswith(b"\x7fELF"):
            from vmm_main.guest_boot.elf import load_elf

            return load_elf(request)
        if is_bzimage(head):
            from vmm_main.guest_boot.bzimage import load_bzimage

            return load_bzimage(request)
        from vmm_main.guest_boot.flat_image import load_flat_image, refuse_if_something_else

        refuse_if_something_else(kernel, head)
        return load_flat_image(request)


def is_bzimage(head: bytes) -> bool:
    """Whether a file that begins with head has a Linux boot header."""
    return head[0x1FE:0x200] == b"\x55\xaa" and head[0x202:0x206] == b"HdrS"
