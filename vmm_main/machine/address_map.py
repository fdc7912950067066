"""Where everything is in the x86_64 microvm's two address spaces: one map, so that nothing overlaps unseen.

Guest-physical memory (gpa), in ascending order; what isn't listed below 3 GiB is RAM::

    0x0000_0500  what the boot CPU finds at its entry: GDT, start info, page tables, command line
    0x0009_fc00  end of conventional memory; from here to 1 MiB the memory map says "reserved"
    0x000e_0000  ACPI tables (RSDP first), where a kernel without any pointer to it looks too
    0x000f_fff0  where a BIOS would be entered: instructions that reset the VM
    0x0010_0000  kernel and initrd
    0xc000_0000  end of low RAM: the 32-bit hole
    0xfeb0_0000  virtio-mmio slots
    0xfec0_0000  I/O APIC
    0xfee0_0000  local APICs
    0xfffb_c000  what KVM itself needs on Intel hosts
    0x1_0000_0000  high RAM

A test shows that no two of these ranges meet.
"""

from __future__ import annotations

# RAM (DESIGN §7: a hole below 4 GiB as on real PCs).
LOW_RAM_END_GPA = 0xC000_0000
HIGH_RAM_START_GPA = 0x1_0000_0000
CONVENTIONAL_MEMORY_END_GPA = 0x0009_FC00
EXTENDED_MEMORY_START_GPA = 0x0010_0000

# What the boot CPU finds at its entry (guest_boot/). All of it lies in conventional memory, which Linux
# copies what it needs from before it uses that memory for anything else.
GDT_GPA = 0x0500
GDT_SIZE = 0x100
PVH_START_INFO_GPA = 0x1000  # hvm_start_info, its module list and its memory map: one page
BOOT_PARAMS_GPA = 0x7000  # Linux's "zero page"
BOOT_STACK_END_GPA = 0x9000  # for guests that push before they have a stack of their own: 4 KiB
PAGE_TABLES_GPA = 0xA000  # PML4, PDPT, then at most 4 page directories
PAGE_TABLES_SIZE = 6 * 0x1000
COMMAND_LINE_GPA = 0x2_0000
COMMAND_LINE_END_GPA = 0x9_0000

# Firmware tables.
ACPI_TABLES_GPA = 0x000E_0000
ACPI_TABLES_END_GPA = 0x000F_FFF0
RESET_ENTRY_GPA = 0x000F_FFF0  # FFFF:0000 in real mode
RESET_ENTRY_SIZE = 0x10

# Where images go that don't say where they want to be (DESIGN §7).
FLAT_IMAGE_GPA = 0x0100_0000

# Devices in memory space.
VIRTIO_MMIO_GPA = 0xFEB0_0000  # slot n begins at VIRTIO_MMIO_GPA + n * VIRTIO_MMIO_STRIDE
VIRTIO_MMIO_STRIDE = 0x1000
VIRTIO_MMIO_SIZE = 0x200  # registers (virtio 1.2 §4.2.2) and 256 bytes of config space
VIRTIO_MMIO_SLOTS = 11  # the contract's limit for x86_64
IO_APIC_GPA = 0xFEC0_0000
LOCAL_APIC_GPA = 0xFEE0_0000
KVM_IDENTITY_MAP_GPA = 0xFFFB_C000  # one page (KVM_SET_IDENTITY_MAP_ADDR)
KVM_TSS_GPA = 0xFFFB_D000  # three pages (KVM_SET_TSS_ADDR)

# I/O ports.
I8042_DATA_PORT = 0x60
I8042_COMMAND_PORT = 0x64
RTC_PORT = 0x70
RTC_PORTS = 2
COM1_PORT = 0x3F8
COM1_PORTS = 8

# The power registers: ports of our own, which the guest learns of from the FADT and the DSDT only.
POWER_PORT = 0x600
POWER_PORTS = 0x10
SLEEP_CONTROL_PORT = 0x600  # ACPI 6.4 §4.8.3.7: SLP_EN is bit 5, SLP_TYP bits 4:2
SLEEP_STATUS_PORT = 0x601  # ACPI 6.4 §4.8.3.7: WAK_STS is bit 7; nothing here ever wakes, so it reads 0
RESET_PORT = 0x602
RESET_VALUE = 1
GED_EVENT_SELECTOR_PORT = 0x604  # 32 bits; reading returns the pending events and clears them
SLOT_PRESENCE_PORT = 0x608  # 32 bits; bit n is 1 while virtio-mmio slot n holds a device

GED_EVENT_POWER_BUTTON = 1 << 0
GED_EVENT_SLOT_BUS_CHECK = 1 << 1

SLEEP_TYPE_S5 = 5  # our SLP_TYP for "off", named in \_S5
SLEEP_ENABLE = 1 << 5
SLEEP_TYPE_SHIFT = 2


def virtio_mmio_gpa(slot: int) -> int:
    """The guest-physical address of the first register of a virtio-mmio slot (0 to 10)."""
    return VIRTIO_MMIO_GPA + slot * VIRTIO_MMIO_STRIDE
