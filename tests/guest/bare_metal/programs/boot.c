/* How the guest was entered and what came with it: command line, initrd, memory map. */
#include "../boot_info.h"
#include "../program.h"
#include "../report.h"

PROGRAM(boot)
{
    const uint8_t *initrd = (const uint8_t *)boot_info.initrd;
    uint64_t sum = option_number("nonce", 0);

    report_text("protocol", boot_info.protocol);
    report_text("command-line", boot_info.command_line);
    report_number("initrd-size", boot_info.initrd_size);
    for (uint64_t i = 0; i < boot_info.initrd_size; i++)
        sum = sum * 31 + initrd[i];
    report_number("initrd-sum", sum);
    report_number("initrd-start", boot_info.initrd);
    report_memory_map();
}
