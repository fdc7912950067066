/* The ACPI tables as an operating system reads them. */
#include "../acpi.h"
#include "../boot_info.h"
#include "../program.h"
#include "../report.h"

#define MADT_LOCAL_APIC 0
#define MADT_IO_APIC 1
#define MADT_ENABLED 1

static void report_table(const struct acpi_header *table)
{
    char signature[5] = {0};

    for (unsigned int i = 0; i < 4; i++)
        signature[i] = table->signature[i];
    report_text("table", signature);
    report_number("table-sum", acpi_sum(table, table->length));
}

static void report_madt(const struct acpi_madt *madt)
{
    const uint8_t *entry = madt->entries, *end = (const uint8_t *)madt + madt->header.length;
    unsigned int enabled = 0;
    uint64_t ids = 0;

    for (; entry < end; entry += entry[1]) {
        if (entry[0] == MADT_LOCAL_APIC && (entry[4] & MADT_ENABLED)) {
            enabled++;
            ids += entry[3];
        } else if (entry[0] == MADT_IO_APIC) {
            report_number("io-apic", *(const uint32_t *)(entry + 4));
        }
    }
    report_number("local-apic", madt->local_apic);
    report_number("enabled-cpus", enabled);
    report_number("sum-of-apic-ids", ids);
}

PROGRAM(tables)
{
    const struct acpi_rsdp *rsdp = acpi_rsdp();
    const struct acpi_fadt *fadt = acpi_fadt();

    report_number("rsdp", boot_info.rsdp);
    report_number("rsdp-sum", acpi_sum(rsdp, 20));
    report_number("rsdp-extended-sum", acpi_sum(rsdp, rsdp->length));
    report_table((const struct acpi_header *)rsdp->xsdt);
    for (unsigned int i = 0; i < acpi_tables(); i++)
        report_table(acpi_table(i));
    report_table(acpi_dsdt());
    report_number("fadt-flags", fadt->flags);
    report_number("reset-port", fadt->reset_register.address);
    report_number("reset-value", fadt->reset_value);
    report_number("sleep-port", fadt->sleep_control.address);
    report_number("s5-type", acpi_s5_type());
    report_madt(acpi_madt());
}
