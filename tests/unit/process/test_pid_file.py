"""-pidfile."""

from __future__ import annotations

import os
import resource
import stat
from typing import TYPE_CHECKING

import pytest

from vmm_main.errors import ConfigurationError
from vmm_main.process_life import PidFile

if TYPE_CHECKING:
    from pathlib import Path


def test_holds_the_pid_and_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vm.pid"
    monkeypatch.chdir(tmp_path)
    pid_file = PidFile("vm.pid")
    assert path.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(path.stat().st_mode) & 0o133 == 0
    monkeypatch.chdir("/")
    pid_file.remove()
    assert not path.exists()
    pid_file.remove()


def test_where_main_may_not_remove_it_any_more_it_stays_and_that_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "somebody's"
    directory.mkdir()
    path = directory / "vm.pid"
    pid_file = PidFile(str(path))
    directory.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:  # as main, which has dropped root's capabilities
        os.seteuid(65534)
    try:
        pid_file.remove()
    finally:
        if is_root:
            os.seteuid(0)
        directory.chmod(0o755)
    assert path.exists()
    assert f"WARNING files: {path} stays: it can't be removed" in capfd.readouterr().err
    pid_file.remove()
    assert not path.exists()


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_must_not_exist(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "vm.pid"
    if kind == "file":
        path.write_text("1\n")
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"-pidfile .*vm\.pid: the file exists; it must not"):
        PidFile(str(path))
    assert not (tmp_path / "elsewhere").exists()
    assert os.path.lexists(path)


def test_another_file_in_its_place_stays(tmp_path: Path) -> None:
    path = tmp_path / "vm.pid"
    pid_file = PidFile(str(path))
    (tmp_path / "other").write_text("2\n")
    os.replace(tmp_path / "other", path)
    pid_file.remove()
    assert path.read_text() == "2\n"


def test_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't make the file: No such file or directory"):
        PidFile(str(tmp_path / "absent" / "vm.pid"))


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # refuses as a full disk does
    try:
        with pytest.raises(ConfigurationError, match="can't write the file"):
            PidFile(str(tmp_path / "vm.pid"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
