"""Which files code may come from: a running VM keeps the libraries that an upgrade has replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.bulkhead_audit.code_files import is_code, is_libcs, is_programs
from tools.bulkhead_audit.mappings import Mapping
from tools.bulkhead_audit.process import Process

DELETED = " (deleted)"


@pytest.fixture
def process() -> Iterator[Process]:
    """This one, as if it were main."""
    entitled = {"name": "main", "role": "main", "pid": os.getpid(), "program-uid": os.getuid()}
    made = Process(entitled)
    yield made
    made.files.close()


def mapped(path: str, permissions: str = "r-xp", inode: int = 1) -> Mapping:
    return Mapping(4096, permissions, 1, inode, path)


def library(path: Path) -> str:
    shutil.copyfile("/proc/self/exe", path)
    return str(path)


def test_a_library_is_the_programs(process: Process, tmp_path: Path) -> None:
    one = mapped(library(tmp_path / "libx.so.1.2"))
    assert is_code(process, one)
    assert is_programs(process, one)


def test_one_that_an_upgrade_has_replaced_too(process: Process, tmp_path: Path) -> None:
    library(tmp_path / "libx.so.1.3")
    one = mapped(f"{tmp_path}/libx.so.1.2{DELETED}")
    assert is_code(process, one)
    assert is_programs(process, one)


def test_one_that_is_gone_without_another_is_not(process: Process, tmp_path: Path) -> None:
    library(tmp_path / "liby.so.1.3")
    assert not is_code(process, mapped(f"{tmp_path}/libx.so.1.2{DELETED}"))


@pytest.mark.parametrize("path", ["/memfd:x", f"/memfd:x{DELETED}", f"/dev/zero{DELETED}", "/SYSV00000000"])
def test_memory_is_no_file(process: Process, path: str) -> None:
    assert not is_code(process, mapped(path))


@pytest.mark.parametrize("permissions", ["rwxp", "r-xs"])
def test_code_is_not_to_be_changed(process: Process, tmp_path: Path, permissions: str) -> None:
    assert not is_code(process, mapped(library(tmp_path / "libx.so"), permissions))


def test_memory_without_an_inode_is_code_if_it_is_the_kernels(process: Process) -> None:
    assert is_code(process, mapped("[vdso]", inode=0))
    assert not is_code(process, mapped("", inode=0))


def test_neither_a_text_nor_a_fifo_is_a_program(process: Process, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("#!/bin/sh\n", encoding="utf-8")
    os.mkfifo(tmp_path / "fifo")
    for name in ("text", "fifo", "missing"):
        assert not is_programs(process, mapped(f"{tmp_path}/{name}"))


def test_what_libc_maps_of_a_locale() -> None:
    assert is_libcs(mapped("/usr/lib/locale/C.utf8/LC_CTYPE", "r--p"))
    assert is_libcs(mapped("/usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache", "r--s"))
    assert not is_libcs(mapped("/etc/passwd", "r--p"))
