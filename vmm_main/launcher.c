/*
 * The `bulkhead` command: execs its environment's Python isolated (-I), without site (-S) and without PYTHON*
 * variables (-E), with an explicit module path. Importing site costs 2 to 20 ms of every start, and pip
 * rewrites "#!python" lines and drops their flags, so a script can't ask for this.
 *
 * Finds two things beside itself: the interpreter (<bin>/python3) and the folder that holds vmm_main
 * (<bin>/../lib/python3.<n>/site-packages or dist-packages; for an editable install, the checkout).
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "bulkhead: %s: %s\n", what, strerror(errno));
    return 1;
}

/* Sets path to <lib>/python3.<n>/<site-packages or dist-packages> that exists (holding holds, if given). */
static int find_packages(char *path, size_t size, const char *prefix, const char *holds)
{
    static const char *const names[] = {"site-packages", "dist-packages"};
    char lib[PATH_MAX], probe[PATH_MAX];
    int found = 0;

    if (snprintf(lib, sizeof(lib), "%s/lib", prefix) >= (int)sizeof(lib))
        return 0;
    DIR *directory = opendir(lib);
    if (directory == NULL)
        return 0;
    for (struct dirent *entry = readdir(directory); entry != NULL && !found; entry = readdir(directory)) {
        if (strncmp(entry->d_name, "python3.", 8) != 0)
            continue;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !found; i++) {
            if (snprintf(path, size, "%s/%s/%s", lib, entry->d_name, names[i]) >= (int)size)
                continue;
            if (snprintf(probe, sizeof(probe), "%s/%s", path, holds) >= (int)sizeof(probe))
                continue;
            found = access(probe, F_OK) == 0;
        }
    }
    closedir(directory);
    return found;
}

int main(int argc, char **argv)
{
    char prefix[PATH_MAX], python[PATH_MAX], packages[PATH_MAX], path[3 * PATH_MAX], program[2 * PATH_MAX];

    ssize_t length = readlink("/proc/self/exe", prefix, sizeof(prefix) - 1);
    if (length < 0)
        return fail("can't read /proc/self/exe");
    prefix[length] = '\0';
    for (int i = 0; i < 2; i++) { /* <prefix>/bin/bulkhead -> <prefix> */
        char *slash = strrchr(prefix, '/');
        if (slash == NULL) {
            errno = ENOENT;
            return fail(prefix);
        }
        *slash = '\0';
    }
    if (snprintf(python, sizeof(python), "%s/bin/python3", prefix) >= (int)sizeof(python)) {
        errno = ENAMETOOLONG;
        return fail(prefix);
    }
    if (access(python, X_OK) != 0)
        snprintf(python, sizeof(python), "%s", FALLBACK_PYTHON);

#ifdef SOURCE_DIRECTORY
    /* The checkout holds vmm_main; packages (cffi, msgpack) are the environment's. */
    if (!find_packages(packages, sizeof(packages), prefix, "_cffi_backend.py") &&
        !find_packages(packages, sizeof(packages), prefix, ""))
        packages[0] = '\0';
    snprintf(path, sizeof(path), "bulkhead_path=%s:%s", SOURCE_DIRECTORY, packages);
    snprintf(program, sizeof(program), "%s/vmm_main/__main__.py", SOURCE_DIRECTORY);
#else
    if (!find_packages(packages, sizeof(packages), prefix, "vmm_main/__main__.py")) {
        errno = ENOENT;
        return fail("can't find the folder that holds vmm_main");
    }
    snprintf(path, sizeof(path), "bulkhead_path=%s", packages);
    snprintf(program, sizeof(program), "%s/vmm_main/__main__.py", packages);
#endif

    char **arguments = calloc((size_t)argc + 8, sizeof(*arguments));
    if (arguments == NULL)
        return fail("out of memory");
    size_t n = 0;
    arguments[n++] = python;
    arguments[n++] = (char *)"-I";
    arguments[n++] = (char *)"-S";
    arguments[n++] = (char *)"-E";
    arguments[n++] = (char *)"-X";
    arguments[n++] = path;
    arguments[n++] = program;
    for (int i = 1; i < argc; i++)
        arguments[n++] = argv[i];
    execv(python, arguments);
    return fail(python);
}
