#include "seccomp_profiles/compiled_profile.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int disabled;

static const struct compiled_profile *find(const char *name)
{
    for (size_t i = 0; i < compiled_profile_count; i++)
        if (strcmp(compiled_profiles[i].name, name) == 0)
            return &compiled_profiles[i];
    return NULL;
}

int filters_install(const char *name)
{
    const struct compiled_profile *profile = find(name);

    if (profile == NULL)
        return -ENOENT; /* also without filters: a thread without a profile is a mistake */
    if (disabled)
        return 0;
    struct sock_fprog program = {
        .len = profile->program_length,
        .filter = (struct sock_filter *)(uintptr_t)profile->program, /* the kernel only reads it */
    };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

void filters_disable(void)
{
    disabled = 1;
}

int filters_rules(const char *name, const struct filter_rule **rules)
{
    const struct compiled_profile *profile = find(name);

    if (profile == NULL)
        return -ENOENT;
    *rules = profile->rules;
    return profile->rule_count;
}

int filters_program(const char *name, const void **program)
{
    const struct compiled_profile *profile = find(name);

    if (profile == NULL)
        return -ENOENT;
    *program = profile->program;
    return profile->program_length;
}

const char *system_call_name(int number)
{
    return number >= 0 && (size_t)number < system_call_name_count ? system_call_names[number] : NULL;
}
