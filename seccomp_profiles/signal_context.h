/* What a signal handler finds out about where its thread was: for the handlers of refused calls and faults. */
#ifndef SECCOMP_PROFILES_SIGNAL_CONTEXT_H
#define SECCOMP_PROFILES_SIGNAL_CONTEXT_H

#include <stdint.h>
#include <ucontext.h>

static inline uint64_t instruction_of(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (uint64_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return context->uc_mcontext.pc;
#else
#error "where a context has its registers on this machine is not known here"
#endif
}

#endif
