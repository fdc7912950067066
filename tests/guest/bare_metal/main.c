#include "boot_info.h"
#include "power.h"
#include "program.h"
#include "report.h"

extern const struct program first_program[], last_program[];
void guest_main(unsigned int entered_by, const void *told);

void guest_main(unsigned int entered_by, const void *told)
{
    boot_info_read(entered_by, told);
    report_begin(option_number("nonce", 0));
    for (const struct program *program = first_program; program < last_program; program++) {
        if (option_is("test", program->name)) {
            report_text("test", program->name);
            program->run();
            report_seal();
            power_off();
        }
    }
    report_text("no such test", boot_info.command_line);
    power_off();
}
