#include "boot_info.h"

#include <stddef.h>

#include "report.h"

struct boot_info boot_info;

/* Linux, Documentation/arch/x86/zero-page.rst. */
struct e820_entry {
    uint64_t start, size;
    uint32_t type;
} __attribute__((packed));

struct zero_page {
    uint8_t before_rsdp[0x70];
    uint64_t acpi_rsdp_addr;
    uint8_t before_ext[0xc0 - 0x78];
    uint32_t ext_ramdisk_image, ext_ramdisk_size;
    uint8_t before_e820_entries[0x1e8 - 0xc8];
    uint8_t e820_entries;
    uint8_t before_ramdisk[0x218 - 0x1e9];
    uint32_t ramdisk_image, ramdisk_size;
    uint8_t before_cmd_line[0x228 - 0x220];
    uint32_t cmd_line_ptr;
    uint8_t before_e820[0x2d0 - 0x22c];
    struct e820_entry e820[MAX_RANGES];
} __attribute__((packed));

_Static_assert(offsetof(struct zero_page, ramdisk_image) == 0x218, "boot.rst");
_Static_assert(offsetof(struct zero_page, e820) == 0x2d0, "zero-page.rst");

/* Xen, public/arch-x86/hvm/start_info.h. */
#define START_INFO_MAGIC 0x336ec578

struct start_info {
    uint32_t magic, version, flags, modules;
    uint64_t modules_gpa, command_line_gpa, rsdp_gpa, memory_map_gpa;
    uint32_t memory_map_entries, reserved;
};

struct start_info_module {
    uint64_t gpa, size, command_line_gpa, reserved;
};

struct start_info_range {
    uint64_t start, size;
    uint32_t type, reserved;
};

static void add_range(uint64_t start, uint64_t size, uint32_t type)
{
    if (boot_info.ranges < MAX_RANGES)
        boot_info.range[boot_info.ranges++] = (struct memory_range){start, size, type};
}

static void read_zero_page(const struct zero_page *page)
{
    boot_info.protocol = "zero-page";
    boot_info.command_line = (const char *)(uint64_t)page->cmd_line_ptr;
    boot_info.rsdp = page->acpi_rsdp_addr;
    boot_info.initrd = (uint64_t)page->ext_ramdisk_image << 32 | page->ramdisk_image;
    boot_info.initrd_size = (uint64_t)page->ext_ramdisk_size << 32 | page->ramdisk_size;
    for (unsigned int i = 0; i < page->e820_entries; i++)
        add_range(page->e820[i].start, page->e820[i].size, page->e820[i].type);
}

static void read_start_info(const struct start_info *info)
{
    const struct start_info_module *module = (const void *)info->modules_gpa;
    const struct start_info_range *range = (const void *)info->memory_map_gpa;

    boot_info.protocol = info->magic == START_INFO_MAGIC ? "pvh" : "pvh without its magic number";
    boot_info.command_line = (const char *)info->command_line_gpa;
    boot_info.rsdp = info->rsdp_gpa;
    if (info->modules > 0) {
        boot_info.initrd = module->gpa;
        boot_info.initrd_size = module->size;
    }
    for (unsigned int i = 0; i < info->memory_map_entries; i++)
        add_range(range[i].start, range[i].size, range[i].type);
}

void boot_info_read(unsigned int entered_by, const void *told)
{
    if (entered_by == 0)
        read_zero_page(told);
    else
        read_start_info(told);
}

/* The text behind name=, NULL without it. */
static const char *find_option(const char *name)
{
    const char *text = boot_info.command_line;

    while (*text != '\0') {
        const char *wanted = name;
        while (*wanted != '\0' && *text == *wanted)
            text++, wanted++;
        if (*wanted == '\0' && *text == '=')
            return text + 1;
        while (*text != '\0' && *text != ' ')
            text++;
        while (*text == ' ')
            text++;
    }
    return NULL;
}

bool option_is(const char *name, const char *value)
{
    const char *text = find_option(name);

    if (text == NULL)
        return false;
    while (*value != '\0' && *text == *value)
        text++, value++;
    return *value == '\0' && (*text == '\0' || *text == ' ');
}

bool option_is_there(const char *name)
{
    const char *text = boot_info.command_line;

    while (*text != '\0') {
        const char *wanted = name;

        while (*wanted != '\0' && *text == *wanted)
            text++, wanted++;
        if (*wanted == '\0' && (*text == '=' || *text == ' ' || *text == '\0'))
            return true;
        while (*text != '\0' && *text != ' ')
            text++;
        while (*text == ' ')
            text++;
    }
    return false;
}

uint64_t option_number(const char *name, uint64_t otherwise)
{
    const char *text = find_option(name);
    uint64_t value = 0;

    if (text == NULL)
        return otherwise;
    if (text[0] == '0' && text[1] == 'x') {
        for (text += 2; *text != '\0' && *text != ' '; text++)
            value = value << 4 | (uint64_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
        return value;
    }
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

void report_memory_map(void)
{
    for (unsigned int i = 0; i < boot_info.ranges; i++) {
        report_number("range-start", boot_info.range[i].start);
        report_number("range-size", boot_info.range[i].size);
        report_number("range-type", boot_info.range[i].type);
    }
}
