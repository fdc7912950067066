"""What is installed on a fresh machine, what isn't touched on a second start, and what kind of host it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tools.setup import environment
from tools.setup.debian_packages import SetupError, install_missing, missing
from tools.setup.environment import fingerprint, prepare_environment
from tools.setup.host_kind import host_kind

FLAGS = "processor\t: 0\nflags\t\t: fpu vme {}sse2\n"


def test_missing_names_only_what_isnt_installed() -> None:
    assert missing(["dpkg", "no-such-package-here", "tar"]) == ["no-such-package-here"]


class Commands:
    """Takes the place of subprocess.run: notes each command, and answers."""

    def __init__(self, status: int = 0) -> None:
        self.ran: list[list[str]] = []
        self.status = status

    def __call__(self, command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.ran.append(list(command))
        status = 0 if command[0] == "dpkg-query" else self.status
        return subprocess.CompletedProcess(list(command), status, "tar installed\n", "")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    made = Commands()
    monkeypatch.setattr(subprocess, "run", made)
    return made


def test_root_installs_what_is_missing(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    said: list[str] = []
    install_missing(["tar", "lz4"], said.append)
    assert commands.ran[-1][-2:] == ["--no-install-recommends", "lz4"]
    assert "lz4" in said[0]


def test_nothing_runs_when_nothing_is_missing(commands: Commands) -> None:
    install_missing(["tar"], print)
    assert [command[0] for command in commands.ran] == ["dpkg-query"]


def test_without_root_or_sudo_the_command_is_told(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SetupError, match="sudo apt-get install -y --no-install-recommends gcc lz4"):
        install_missing(["lz4", "gcc"], print)


def test_failing_apt_is_an_error(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    commands.status = 100
    with pytest.raises(SetupError, match="status 100"):
        install_missing(["lz4"], lambda message: None)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "vmm_main" / "kvm").mkdir(parents=True)
    (tmp_path / "vmm_main" / "kvm" / "loop.c").write_text("int x;\n")
    return tmp_path


def test_second_start_builds_nothing_until_c_changes(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[str]) -> None:
        ran.append(command)
        if "venv" in command:
            (checkout / ".venv" / "bin").mkdir(parents=True)
            (checkout / ".venv" / "bin" / "python").touch()

    monkeypatch.setattr(environment, "_run", run)
    prepare_environment(checkout, "test", lambda message: None)
    assert [command[2] for command in ran] == ["venv", "pip"]
    prepare_environment(checkout, "test", lambda message: None)
    assert len(ran) == 2
    (checkout / "vmm_main" / "kvm" / "loop.c").write_text("int y;\n")
    prepare_environment(checkout, "test", lambda message: None)
    assert len(ran) == 3
    assert ran[-1][-1] == f"{checkout}[test]"


def test_failed_build_is_no_finished_one(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str]) -> None:
        raise SetupError("gcc says no")

    monkeypatch.setattr(environment, "_run", fail)
    for _ in range(2):
        with pytest.raises(SetupError, match="gcc says no"):
            prepare_environment(checkout, "", lambda message: None)


def test_fingerprint_ignores_what_cffi_writes(checkout: Path) -> None:
    before = fingerprint(checkout)
    (checkout / "vmm_main" / "kvm" / "_kvm.c").write_text("generated\n")
    assert fingerprint(checkout) == before


@pytest.mark.parametrize("flag", ["svm ", "vmx "])
def test_host_with_virtualisation_runs_linux(tmp_path: Path, flag: str) -> None:
    (tmp_path / "cpuinfo").write_text(FLAGS.format(flag))
    (tmp_path / "kvm").touch()
    assert host_kind(tmp_path / "kvm", tmp_path / "cpuinfo").runs_linux


def test_pvm_host_is_named(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(FLAGS.format(""))
    (tmp_path / "kvm").touch()
    kind = host_kind(tmp_path / "kvm", tmp_path / "cpuinfo")
    assert not kind.runs_linux
    assert "neither vmx nor svm" in kind.sentence


def test_missing_kvm_is_named(tmp_path: Path) -> None:
    kind = host_kind(tmp_path / "kvm")
    assert (kind.runs_linux, kind.sentence) == (False, f"this machine has no {tmp_path}/kvm")


def test_forbidden_kvm_is_named(tmp_path: Path) -> None:
    # A directory can't be opened for writing, not even by root.
    kind = host_kind(tmp_path)
    assert not kind.runs_linux
    assert "can't open" in kind.sentence
