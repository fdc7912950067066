/* What compile_profiles.py writes: every profile as constant data. */
#ifndef SECCOMP_PROFILES_COMPILED_PROFILE_H
#define SECCOMP_PROFILES_COMPILED_PROFILE_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "seccomp_profiles/filters_cdef.h"

struct compiled_profile {
    const char *name;
    const struct sock_filter *program;
    const struct filter_rule *rules;
    unsigned short program_length;
    unsigned short rule_count;
};

extern const struct compiled_profile compiled_profiles[];
extern const size_t compiled_profile_count;

/* By number; NULL where there is none. */
extern const char *const system_call_names[];
extern const size_t system_call_name_count;

#endif
