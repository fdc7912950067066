/* A walk through the ACPI tables, as an operating system makes it (ACPI 6.4 chapter 5). */
#ifndef ACPI_H
#define ACPI_H

#include <stdint.h>

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct acpi_address {
    uint8_t space, bit_width, bit_offset, access_size;
    uint64_t address;
} __attribute__((packed));

struct acpi_rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

struct acpi_fadt {
    struct acpi_header header;
    uint8_t before_boot_flags[109 - 36];
    uint16_t boot_flags;
    uint8_t reserved;
    uint32_t flags;
    struct acpi_address reset_register;
    uint8_t reset_value;
    uint16_t arm_boot_flags;
    uint8_t minor_version;
    uint64_t x_firmware_control, x_dsdt;
    uint8_t before_sleep[244 - 148];
    struct acpi_address sleep_control, sleep_status;
} __attribute__((packed));

struct acpi_madt {
    struct acpi_header header;
    uint32_t local_apic, flags;
    uint8_t entries[];
} __attribute__((packed));

const struct acpi_rsdp *acpi_rsdp(void);
unsigned int acpi_tables(void); /* how many the XSDT lists */
const struct acpi_header *acpi_table(unsigned int index);
const struct acpi_fadt *acpi_fadt(void);
const struct acpi_madt *acpi_madt(void);
const struct acpi_header *acpi_dsdt(void);
/* The sum of all bytes: 0 for a table that is whole. */
uint8_t acpi_sum(const void *table, uint32_t length);
/* SLP_TYP for power-off, from the DSDT's \_S5; 0xff if there is none. */
uint8_t acpi_s5_type(void);

#endif
