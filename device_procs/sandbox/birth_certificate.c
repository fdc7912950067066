#include "device_procs/sandbox/birth_certificate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

struct writer {
    char *at;
    char *end;
};

static int write_end(struct writer *writer)
{
    if (writer->at == writer->end)
        return -EMSGSIZE;
    *writer->at++ = '\0';
    return 0;
}

static int write_name(struct writer *writer, const char *name)
{
    size_t length = strlen(name);

    if (length > (size_t)(writer->end - writer->at))
        return -EMSGSIZE;
    memcpy(writer->at, name, length);
    writer->at += length;
    return write_end(writer);
}

static int write_file(struct writer *writer, int proc_fd, const char *name)
{
    ssize_t length;
    int error = write_name(writer, name);

    if (error < 0)
        return error;
    int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while ((length = read(fd, writer->at, (size_t)(writer->end - writer->at))) > 0)
        writer->at += length;
    error = length < 0 ? -errno : write_end(writer); /* a file that doesn't end before the room does has no room */
    close(fd);
    return error;
}

static int write_link(struct writer *writer, int proc_fd, const char *name)
{
    int error = write_name(writer, name);

    if (error < 0)
        return error;
    ssize_t length = readlinkat(proc_fd, name, writer->at, (size_t)(writer->end - writer->at));
    if (length < 0)
        return -errno;
    writer->at += length;
    return write_end(writer);
}

static int write_descriptors(struct writer *writer, int proc_fd)
{
    char entries[1024] __attribute__((aligned(__alignof__(struct dirent64))));
    char name[8 + sizeof(((struct dirent64 *)NULL)->d_name)];
    ssize_t length;
    int error = 0;

    int folder = openat(proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    while (error == 0 && (length = getdents64(folder, entries, sizeof(entries))) != 0) {
        if (length < 0) {
            error = -errno;
            break;
        }
        const struct dirent64 *entry;
        for (ssize_t at = 0; at < length && error == 0; at += entry->d_reclen) {
            entry = (const struct dirent64 *)(const void *)(entries + at);
            int number = entry->d_name[0] == '.' ? proc_fd : atoi(entry->d_name);
            if (number == proc_fd || number == folder)
                continue;
            snprintf(name, sizeof(name), "fd/%s", entry->d_name);
            error = write_link(writer, proc_fd, name);
        }
    }
    close(folder);
    return error;
}

long birth_certificate_read(int proc_fd, int landlock_version, char *text, size_t size)
{
    static const char *const files[] = {"status", "uid_map", "gid_map", "mountinfo", "limits"};
    /* By name: once its uid has changed, a process may look into /proc/self/ns, but not list it. */
    static const char *const links[] = {"ns/cgroup", "ns/ipc", "ns/mnt", "ns/net", "ns/pid", "ns/user", "ns/uts"};
    struct writer writer = {.at = text, .end = text + size};
    char number[12];
    int error = 0;

    for (size_t i = 0; i < ARRAY_SIZE(files) && error == 0; i++)
        error = write_file(&writer, proc_fd, files[i]);
    for (size_t i = 0; i < ARRAY_SIZE(links) && error == 0; i++)
        error = write_link(&writer, proc_fd, links[i]);
    if (error == 0)
        error = write_descriptors(&writer, proc_fd);
    snprintf(number, sizeof(number), "%d", landlock_version);
    if (error == 0)
        error = write_name(&writer, "landlock");
    if (error == 0)
        error = write_name(&writer, number);
    return error < 0 ? error : writer.at - text;
}

int birth_certificate_send(int control_fd, char *packet, size_t length)
{
    /* msgpack of {"m": "BIRTH_CERTIFICATE", "i": 0, "f": {"text": ...}}. Python would write to 50 pages for it. */
    static const char before[] = "\x83\xa1m\xb1" "BIRTH_CERTIFICATE" "\xa1i\0\xa1" "f\x81\xa4text\xc5";

    _Static_assert(sizeof(before) - 1 + 2 == BIRTH_CERTIFICATE_HEAD_BYTES, "two bytes of length follow");
    memcpy(packet, before, sizeof(before) - 1);
    packet[BIRTH_CERTIFICATE_HEAD_BYTES - 2] = (char)(length >> 8);
    packet[BIRTH_CERTIFICATE_HEAD_BYTES - 1] = (char)length;
    length += BIRTH_CERTIFICATE_HEAD_BYTES;
    return send(control_fd, packet, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}
