"""One boot: its files, its memory, and what every format does alike with initrd and command line."""

from __future__ import annotations

from vmm_main.errors import ConfigurationError, GuestImageError
from vmm_main.guest_boot.boot_memory import PAGE_SIZE, high_ram_end_gpa, low_ram_end_gpa
from vmm_main.machine.address_map import (
    COMMAND_LINE_END_GPA,
    COMMAND_LINE_GPA,
    EXTENDED_MEMORY_START_GPA,
    HIGH_RAM_START_GPA,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.boot_file import BootFile
    from vmm_main.guest_boot.boot_memory import BootMemory

# Linux's COMMAND_LINE_SIZE on x86 (arch/x86/include/asm/setup.h) is 2048 with the terminating NUL.
_LINUX_COMMAND_LINE_LIMIT = 2047


class BootRequest:
    """What one boot is made of.

    Attributes:
        kernel: The kernel's file.
        head: Its beginning: 4 KiB, or all of it if that is less.
        initrd: The initrd's file, or None.
        memory: The guest's memory; it needn't be clean.
        append: The kernel's command line.
        acpi_rsdp_gpa: Where the RSDP is, 0 for no ACPI.
    """

    __slots__ = ("acpi_rsdp_gpa", "append", "head", "initrd", "kernel", "memory")

    def __init__(
        self,
        kernel: BootFile,
        head: bytes,
        initrd: BootFile | None,
        memory: BootMemory,
        *,
        append: str,
        acpi_rsdp_gpa: int,
    ) -> None:
        self.kernel = kernel
        self.head = head
        self.initrd = initrd
        self.memory = memory
        self.append = append
        self.acpi_rsdp_gpa = acpi_rsdp_gpa

    def check_fits(self, start_gpa: int, end_gpa: int) -> None:
        """Refuses a kernel that wants to be anywhere but between 1 MiB and the end of low RAM.

        Raises:
            GuestImageError: It doesn't fit.
        """
        low_end_gpa = low_ram_end_gpa(self.memory.size_bytes)
        if start_gpa < EXTENDED_MEMORY_START_GPA or end_gpa > low_end_gpa:
            raise self.kernel.refuse(
                f"needs memory from {start_gpa:#x} to {end_gpa:#x}",
                f"{EXTENDED_MEMORY_START_GPA:#x} to {low_end_gpa:#x} (the latter depends on -m)",
            )

    def load_initrd(
        self, kernel_end_gpa: int, limit_gpa: int = HIGH_RAM_START_GPA, *, above_4g: bool = False
    ) -> tuple[int, int]:
        """Puts the initrd as high in low RAM as the kernel can reach, above 4 GiB only if that is full.

        Args:
            kernel_end_gpa: The end of what the kernel needs for itself.
            limit_gpa: The end of what the kernel can reach of low memory.
            above_4g: The kernel can take it above 4 GiB.

        Returns:
            Guest-physical address and size in bytes; (0, 0) without an initrd.

        Raises:
            GuestImageError: It doesn't fit, or has changed into something unusable since it was opened.
        """
        if self.initrd is None:
            return 0, 0
        self.initrd.look_again()
        size_bytes = self.initrd.size_bytes
        low_end_gpa = min(low_ram_end_gpa(self.memory.size_bytes), limit_gpa)
        gpa = (low_end_gpa - size_bytes) & -PAGE_SIZE
        if gpa < kernel_end_gpa:
            gpa = (high_ram_end_gpa(self.memory.size_bytes) - size_bytes) & -PAGE_SIZE
            if not above_4g or gpa < HIGH_RAM_START_GPA:
                raise self._initrd_too_large(kernel_end_gpa, low_end_gpa, above_4g=above_4g)
        self.initrd.load(self.memory, 0, gpa, size_bytes)
        return gpa, size_bytes

    def _initrd_too_large(self, kernel_end_gpa: int, low_end_gpa: int, *, above_4g: bool) -> GuestImageError:
        assert self.initrd is not None
        first_page_gpa = (kernel_end_gpa + PAGE_SIZE - 1) & -PAGE_SIZE
        room_bytes = max(0, low_end_gpa - first_page_gpa)
        if above_4g:
            room_bytes = max(room_bytes, high_ram_end_gpa(self.memory.size_bytes) - HIGH_RAM_START_GPA)
        return self.initrd.refuse(
            f"has {self.initrd.size_bytes} bytes",
            f"1 to {room_bytes} beside this kernel in {self.memory.size_bytes} bytes of memory",
        )

    def write_command_line(self, limit_bytes: int | None = None) -> None:
        """Writes the command line, NUL-terminated, to its place.

        Args:
            limit_bytes: How long the kernel's header lets it be, without the NUL; None if there is no header:
                then it is Linux's own limit.

        Raises:
            ConfigurationError: It is too long or contains a NUL.
        """
        content = self.append.encode("utf-8", "surrogateescape")
        whose = "this kernel's own limit, from its header"
        if limit_bytes is None:
            limit_bytes = _LINUX_COMMAND_LINE_LIMIT
            whose = "Linux's COMMAND_LINE_SIZE of 2048, less the terminating NUL"
        elif limit_bytes >= COMMAND_LINE_END_GPA - COMMAND_LINE_GPA:
            limit_bytes = COMMAND_LINE_END_GPA - COMMAND_LINE_GPA - 1
            whose = "what there is room for"
        if len(content) > limit_bytes:
            raise ConfigurationError(
                f"-append: the command line has {len(content)} bytes, allowed: 0 to {limit_bytes} ({whose})"
            )
        if b"\0" in content:
            raise ConfigurationError("-append: the command line contains a NUL, allowed: any other character")
        self.memory.write(COMMAND_LINE_GPA, content + b"\0")
