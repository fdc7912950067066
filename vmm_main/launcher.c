/*
 * The `bulkhead` command: execs its environment's Python isolated (-I), without site (-S) and without PYTHON*
 * variables (-E), with an explicit module path. Importing site costs 2 to 20 ms of every start, and pip
 * rewrites "#!python" lines and drops their flags, so a script can't ask for this.
 *
 * Everything is found from where this program really lies (symlinks resolved), never from PATH or argv[0],
 * and for the one Python that the extension beside it was built for (PYTHON_NAME, as in python3.11).
 *
 * With devices it starts the spawner before main's Python, whose start takes as long as the zygote's.
 *
 * Started by main under the name SPAWNER_NAME, it is the spawner instead (device_procs/zygote/spawner.c): a program
 * this small is up in a fraction of a millisecond, and a fork of main would keep main's memory alive.
 */
#include "device_procs/zygote/spawner.h"
#include "vmm_main/device_supervisor/early_spawner.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Where an installation below a prefix keeps its packages; %s are the prefix and PYTHON_NAME. */
static const char *const package_folders[] = {
    "%s/lib/%s/site-packages",
    "%s/lib64/%s/site-packages",
    "%s/lib/%s/dist-packages",       /* Debian, as pip writes it below /usr/local */
    "%s/local/lib/%s/dist-packages", /* the same, seen from the interpreter's prefix */
    "%s/lib/python3/dist-packages",  /* Debian's own packages */
};

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "bulkhead: %s: %s\n", what, why);
    return 1;
}

/* Whether folder has a file or folder whose name begins with start. */
static int holds(const char *folder, const char *start)
{
    int found = 0;

    DIR *directory = opendir(folder);
    if (directory == NULL)
        return 0;
    for (struct dirent *entry = readdir(directory); entry != NULL && !found; entry = readdir(directory))
        found = strncmp(entry->d_name, start, strlen(start)) == 0;
    closedir(directory);
    return found;
}

/* Sets folder to the first package folder, of this program's prefix or the interpreter's, that holds start. */
static int find_packages(char *folder, size_t size, const char *prefix, const char *start)
{
    const char *const prefixes[] = {prefix, BASE_PREFIX};

    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(package_folders); j++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            int length = snprintf(folder, size, package_folders[j], prefixes[i], PYTHON_NAME);
#pragma GCC diagnostic pop
            if (length < (int)size && holds(folder, start))
                return 1;
        }
    }
    return 0;
}

/* Sets python to the interpreter: the environment's, or the one that this was built with. */
static void find_python(char *python, size_t size, const char *prefix)
{
    int length = snprintf(python, size, "%s/bin/" PYTHON_NAME, prefix);

    if (length >= (int)size || access(python, X_OK) != 0)
        snprintf(python, size, "%s", BASE_PREFIX "/bin/" PYTHON_NAME);
}

int main(int argc, char **argv)
{
    static char options[][3] = {"-I", "-S", "-E", "-X"};
    char prefix[PATH_MAX], python[PATH_MAX], code[PATH_MAX], packages[PATH_MAX];
    char more[PATH_MAX], path[4 * PATH_MAX], program[2 * PATH_MAX], launcher[2 * PATH_MAX];
    char self[PATH_MAX], spawner[128];

    if (argc > 0 && strcmp(argv[0], SPAWNER_NAME) == 0)
        return spawner_main(argv);
    ssize_t length = readlink("/proc/self/exe", prefix, sizeof(prefix) - 1);
    if (length < 0)
        return fail("can't read /proc/self/exe", strerror(errno));
    prefix[length] = '\0';
    snprintf(self, sizeof(self), "%s", prefix);
    snprintf(launcher, sizeof(launcher), "bulkhead_launcher=%s", self);
    for (int i = 0; i < 2; i++) { /* <prefix>/bin/bulkhead -> <prefix> */
        char *slash = strrchr(prefix, '/');
        if (slash == NULL)
            return fail(prefix, "this program isn't in a bin folder");
        *slash = '\0';
    }
    find_python(python, sizeof(python), prefix);

#ifdef SOURCE_DIRECTORY
    snprintf(code, sizeof(code), "%s", SOURCE_DIRECTORY); /* editable: the checkout */
#else
    if (!find_packages(code, sizeof(code), prefix, "vmm_main"))
        return fail(prefix, "no package vmm_main for " PYTHON_NAME " below it (was this program moved?)");
#endif
    /* Other packages may lie elsewhere: pip leaves out what the system already has. */
    if (!find_packages(packages, sizeof(packages), prefix, "_cffi_backend."))
        return fail(prefix, "no package cffi for " PYTHON_NAME " below it or " BASE_PREFIX);
    if (!find_packages(more, sizeof(more), prefix, "msgpack"))
        return fail(prefix, "no package msgpack for " PYTHON_NAME " below it or " BASE_PREFIX);
    if (strchr(code, ':') != NULL || strchr(packages, ':') != NULL || strchr(more, ':') != NULL)
        return fail(prefix, "can't run from a folder with a colon in its name");
    const int together = strcmp(more, packages) == 0;
    snprintf(path, sizeof(path), "bulkhead_path=%s:%s%s%s", code, packages, together ? "" : ":", together ? "" : more);
    snprintf(program, sizeof(program), "%s/vmm_main/__main__.py", code);

    char **arguments = calloc((size_t)argc + 12, sizeof(*arguments));
    if (arguments == NULL)
        return fail("can't start", strerror(errno));
    size_t n = 0;
    arguments[n++] = python;
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        arguments[n++] = options[i];
    arguments[n++] = path;
    if (early_spawner(spawner, sizeof(spawner), argv, self, arguments, code)) {
        arguments[n++] = options[3];
        arguments[n++] = spawner;
    }
    arguments[n++] = options[3];
    arguments[n++] = launcher;
    arguments[n++] = program;
    for (int i = 1; i < argc; i++)
        arguments[n++] = argv[i];
    /* Python speaks UTF-8 then whatever the caller's locale is, and loads none: 0.1 ms. */
    if (setenv("LC_ALL", "C", 1) < 0)
        return fail("can't start", strerror(errno));
    execv(python, arguments);
    int error = errno;
    free(arguments);
    return fail(python, strerror(error));
}
