#include "acpi.h"

#include <stddef.h>

#include "boot_info.h"

_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "ACPI 6.4 table 5.9");
_Static_assert(offsetof(struct acpi_fadt, sleep_control) == 244, "ACPI 6.4 table 5.9");

const struct acpi_rsdp *acpi_rsdp(void)
{
    return (const struct acpi_rsdp *)boot_info.rsdp;
}

unsigned int acpi_tables(void)
{
    const struct acpi_header *xsdt = (const void *)acpi_rsdp()->xsdt;

    return (xsdt->length - (uint32_t)sizeof(*xsdt)) / 8;
}

const struct acpi_header *acpi_table(unsigned int index)
{
    const uint8_t *pointers = (const uint8_t *)acpi_rsdp()->xsdt + sizeof(struct acpi_header);
    uint64_t gpa = 0;

    for (unsigned int byte = 0; byte < 8; byte++)
        gpa |= (uint64_t)pointers[index * 8 + byte] << 8 * byte;
    return (const struct acpi_header *)gpa;
}

static const void *find(const char *signature)
{
    for (unsigned int i = 0; i < acpi_tables(); i++) {
        const struct acpi_header *table = acpi_table(i);
        unsigned int same = 0;
        while (same < 4 && table->signature[same] == signature[same])
            same++;
        if (same == 4)
            return table;
    }
    return NULL;
}

const struct acpi_fadt *acpi_fadt(void)
{
    return find("FACP");
}

const struct acpi_madt *acpi_madt(void)
{
    return find("APIC");
}

const struct acpi_header *acpi_dsdt(void)
{
    return (const struct acpi_header *)acpi_fadt()->x_dsdt;
}

uint8_t acpi_sum(const void *table, uint32_t length)
{
    const uint8_t *bytes = table;
    uint8_t sum = 0;

    for (uint32_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum;
}

uint8_t acpi_s5_type(void)
{
    const struct acpi_header *dsdt = acpi_dsdt();
    const uint8_t *code = (const uint8_t *)dsdt;

    for (uint32_t i = sizeof(*dsdt); i + 12 < dsdt->length; i++) {
        if (code[i] != '_' || code[i + 1] != 'S' || code[i + 2] != '5' || code[i + 3] != '_')
            continue;
        /* PackageOp, a length of one byte, how many elements; then BytePrefix and the number. */
        if (code[i + 4] == 0x12 && code[i + 7] == 0x0a)
            return code[i + 8];
    }
    return 0xff;
}
