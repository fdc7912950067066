"""Birth certificates as main reads them: the text that C writes, and whatever a hostile process may send."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from device_procs.data_plane._data_plane import lib
from ipc.birth_certificate import CertificateError, certificate_fields
from ipc.messages import CERTIFICATE_MAX_BYTES

FILES = ("status", "uid_map", "gid_map", "mountinfo", "limits")
GOOD = b"".join(b"%s\0text of %s\0" % (name.encode(), name.encode()) for name in FILES) + b"landlock\x003\0"


def test_what_is_in_it_comes_out_by_name() -> None:
    fields = certificate_fields(
        GOOD + b"ns/net\0net:[1]\0ns/ipc\0ipc:[2]\0fd/0\0/dev/null\0fd/10\0pipe:[7]\0"
    )
    assert {name: fields[name] for name in FILES} == {name: f"text of {name}" for name in FILES}
    assert fields["landlock"] == 3
    assert fields["namespaces"] == ["ipc:[2]", "net:[1]"]
    assert fields["descriptors"] == {0: "/dev/null", 10: "pipe:[7]"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "without"),
        (GOOD.replace(b"limits\0", b"limit\0"), "without 'limits'"),
        (GOOD.replace(b"\x003\0", b"\0three\0"), "without"),
        (GOOD + b"fd/x\0pipe\0", "with 'fd/x'"),
        (GOOD + b"more\0\xff\xfe\0", "with 'more'"),
        (GOOD + b"ns/net\0", "half an entry"),
        (GOOD[:-1], "half an entry|without"),
    ],
)
def test_anything_else_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(CertificateError, match=why):
        certificate_fields(text)


def test_c_and_the_vocabulary_have_one_limit() -> None:
    assert lib.CERTIFICATE_MAX_BYTES == CERTIFICATE_MAX_BYTES


def test_this_process_has_no_more_to_tell_than_there_is_room_for() -> None:
    """The files are the kernel's, of which mountinfo alone can be long: a jailed process has one mount."""
    told = sum(len(Path(f"/proc/self/{name}").read_bytes()) for name in FILES if name != "mountinfo")
    assert told + len(os.listdir("/proc/self/ns")) * 64 < CERTIFICATE_MAX_BYTES // 2
