#include "power.h"

#include "acpi.h"
#include "cpu.h"

#define SLP_EN 0x20
#define SLP_TYP_SHIFT 2
#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_INPUT_FULL 2
#define KEYBOARD_PULSE_RESET 0xfe

void power_off(void)
{
    uint8_t type = acpi_s5_type();

    port_write8((uint16_t)acpi_fadt()->sleep_control.address, (uint8_t)(SLP_EN | type << SLP_TYP_SHIFT));
    stand_still();
}

void reset_by_acpi(void)
{
    port_write8((uint16_t)acpi_fadt()->reset_register.address, acpi_fadt()->reset_value);
    stand_still();
}

void reset_by_keyboard_controller(void)
{
    while (port_read8(KEYBOARD_COMMAND) & KEYBOARD_INPUT_FULL)
        relax();
    port_write8(KEYBOARD_COMMAND, KEYBOARD_PULSE_RESET);
    stand_still();
}

void reset_by_triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};

    __asm__ volatile("lidt %0; ud2" : : "m"(none));
    stand_still();
}
