"""What a guest finds where a BIOS would be entered after a reset: a jump there resets the VM.

Under hardware-reduced ACPI Linux reboots by EFI, and without EFI by going back to real mode and jumping to
FFFF:0000 (arch/x86/kernel/reboot.c: BOOT_EFI, then BOOT_BIOS); it tries neither the FADT's reset register
nor the keyboard controller. There is no firmware here, so these few instructions stand for it.
"""

from __future__ import annotations

from vmm_main.machine.address_map import RESET_ENTRY_GPA, RESET_PORT, RESET_VALUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.boot_memory import BootMemory

# Real mode: mov dx, RESET_PORT; mov al, RESET_VALUE; out dx, al; then hlt for ever.
_CODE = b"\xba" + RESET_PORT.to_bytes(2, "little") + bytes((0xB0, RESET_VALUE, 0xEE, 0xF4, 0xEB, 0xFD))


def write_reset_entry(memory: BootMemory) -> None:
    """Puts the instructions there; a guest may have overwritten them before its reboot."""
    memory.write(RESET_ENTRY_GPA, _CODE)
