/*
 * Stands where an environment's Python does, and becomes it, with the C library's other ways: without a vDSO, without
 * rseq, or with another C library; or it gives zygotes another build of the devices. Spawner, zygote and main can't
 * tell it from Python.
 *
 * The kernel gives every program that is exec'd the vDSO's address in its auxiliary vector, and has no switch for it
 * but a parameter of its own. So a tracer that lives for as long as one exec takes the entry out of the new stack.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/prctl.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_ARGUMENTS 256
#ifndef PYTHON
#define PYTHON "/usr/bin/python3" /* the build says which (other_python.py) */
#endif

static void fail(const char *what)
{
    perror(what);
    _exit(126);
}

#ifdef HIDES_VDSO
static uint64_t peek(pid_t pid, uint64_t address)
{
    errno = 0;
    long word = ptrace(PTRACE_PEEKDATA, pid, (void *)address, NULL);
    if (errno != 0)
        fail("PTRACE_PEEKDATA");
    return (uint64_t)word;
}

/* A new program's stack: argc, argv, NULL, environment, NULL, and pairs up to AT_NULL. */
static void hide(pid_t pid)
{
    struct user_regs_struct registers;
    uint64_t at;
    int found = 0;

    if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
        fail("PTRACE_GETREGS");
    at = registers.rsp + 8 * (peek(pid, registers.rsp) + 2);
    while (peek(pid, at) != 0)
        at += 8;
    for (at += 8; peek(pid, at) != AT_NULL; at += 16)
        if (peek(pid, at) == AT_SYSINFO_EHDR) {
            if (ptrace(PTRACE_POKEDATA, pid, (void *)at, (void *)(uintptr_t)AT_IGNORE) < 0)
                fail("PTRACE_POKEDATA");
            found = 1;
        }
    if (!found)
        fail("no vDSO to hide");
}

static void trace_one_exec(pid_t pid, int ready)
{
    int status;

    if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)(uintptr_t)PTRACE_O_TRACEEXEC) < 0)
        fail("PTRACE_SEIZE");
    if (write(ready, "", 1) != 1)
        fail("write");
    for (;;) {
        if (waitpid(pid, &status, __WALL) < 0)
            fail("waitpid");
        if (!WIFSTOPPED(status))
            return; /* it has ended */
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8))
            break;
        ptrace(PTRACE_CONT, pid, NULL, (void *)(uintptr_t)(status >> 16 ? 0 : WSTOPSIG(status)));
    }
    hide(pid);
    if (ptrace(PTRACE_DETACH, pid, NULL, NULL) < 0)
        fail("PTRACE_DETACH");
}

/* The tracer isn't a child of what it traces: nobody there would reap it. */
static void have_the_vdso_hidden(void)
{
    pid_t self = getpid();
    int ready[2];
    char byte;

    if (pipe(ready) < 0)
        fail("pipe");
    pid_t between = fork();
    if (between == 0) {
        if (fork() == 0) {
            close(ready[0]);
            trace_one_exec(self, ready[1]);
        }
        _exit(0);
    }
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    close(ready[1]);
    if (between < 0 || waitpid(between, NULL, 0) < 0 || read(ready[0], &byte, 1) != 1)
        fail("no tracer");
    close(ready[0]);
}
#endif

int main(int argc, char **argv)
{
    char *arguments[MOST_ARGUMENTS];
    static char python[] = PYTHON;
    char *program = python;
    int n = 0;

    if (argc > MOST_ARGUMENTS - 8)
        return 126;
#ifdef C_LIBRARY
    static char loader[] = C_LIBRARY "/ld-linux-x86-64.so.2", path[] = "--library-path", folder[] = C_LIBRARY;
    static char name[] = "--argv0";

    program = loader;
    arguments[n++] = loader;
    arguments[n++] = path;
    arguments[n++] = folder;
    arguments[n++] = name;
    arguments[n++] = argv[0];
    arguments[n++] = python;
#else
    arguments[n++] = argv[0];
#endif
    for (int i = 1; i <= argc; i++)
        arguments[n++] = argv[i];
#ifdef ZYGOTE_PATH
    static char zygote_path[] = "bulkhead_path=" ZYGOTE_PATH;
    int is_zygote = 0;

    for (int i = 1; i < argc; i++)
        is_zygote |= strstr(argv[i], "device_procs/zygote/__main__.py") != NULL;
    for (int i = 0; i < n && arguments[i] != NULL; i++)
        if (is_zygote && strncmp(arguments[i], zygote_path, strlen("bulkhead_path=")) == 0)
            arguments[i] = zygote_path;
#endif
#ifdef TUNABLES
    setenv("GLIBC_TUNABLES", TUNABLES, 1);
#endif
#ifdef HIDES_VDSO
    have_the_vdso_hidden();
#endif
    execv(program, arguments);
    fail(program);
}
