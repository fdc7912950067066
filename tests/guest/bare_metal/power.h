/* The ways in which a guest ends. */
#ifndef POWER_H
#define POWER_H

/* By the FADT's sleep control register and the DSDT's \_S5. */
void power_off(void) __attribute__((noreturn));
void reset_by_acpi(void) __attribute__((noreturn));
void reset_by_keyboard_controller(void) __attribute__((noreturn));
void reset_by_triple_fault(void) __attribute__((noreturn));

#endif
