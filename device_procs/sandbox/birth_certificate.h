/* The birth certificate: what a device process reads of itself in /proc/self once it is jailed. */
#ifndef BIRTH_CERTIFICATE_H
#define BIRTH_CERTIFICATE_H

#include <stddef.h>

/*
 * Writes it to text as ipc/birth_certificate.py describes. proc_fd is the process's own folder in /proc, opened before
 * its root was taken away; it isn't told, nor what is opened for the reading: they are closed when the process is given
 * anything. landlock_version is what will be in force then, 0 for nothing. Returns the length, or -errno.
 */
long birth_certificate_read(int proc_fd, int landlock_version, char *text, size_t size);

#define BIRTH_CERTIFICATE_HEAD_BYTES 35 /* of the message, before the text */

/* Sends it to main as a BIRTH_CERTIFICATE (ipc/messages.py): its text of length bytes, behind room for the head. */
int birth_certificate_send(int control_fd, char *packet, size_t length);

#endif
