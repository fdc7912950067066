/*
 * A test programme: a C file in programs/ with PROGRAM(name) { ... }, run by `-append test=name nonce=0x...`. When
 * it returns, the report is sealed and the machine powered off.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

struct program {
    const char *name;
    void (*run)(void);
};

#define PROGRAM(name)                                                                               \
    static void run_##name(void);                                                                   \
    static const struct program program_##name __attribute__((used, section(".programs"))) = {#name, run_##name}; \
    static void run_##name(void)

#endif
