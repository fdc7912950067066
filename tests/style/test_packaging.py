"""What is installed: the wheel's files, the `bulkhead` command it gives, and an editable installation.

All built without a network from a copy of the project, at a path that shells and C strings could trip over.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.style.source_tree import CHECKOUT, project_files
from vmm_main.version import VERSION

MADE_BY_BUILDING = {"_build_info.py", "_kvm.abi3.so", "_data_plane.abi3.so"}
PACKAGES = ("vmm_main", "device_procs", "ipc", "seccomp_profiles")
COMMANDS = ("bulkhead_audit",)  # packages of tools/


def run(*command: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """The output of a command that succeeds."""
    ran = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def pip(*arguments: str | Path, python: Path = Path(sys.executable)) -> None:
    """Runs this environment's pip on that python, without a network."""
    run(sys.executable, "-m", "pip", "--python", python, "-q", "--disable-pip-version-check", *arguments)


def new_environment(where: Path) -> Path:
    """A fresh virtual environment with what Bulkhead needs and nothing else; returns its python."""
    run(sys.executable, "-m", "venv", "--without-pip", where)
    packages = next(where.glob("lib/python3.*/site-packages"))
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in [*(re.split(r"[^\w-]", needed)[0] for needed in project["dependencies"]), "pycparser"]:
        for file in importlib.metadata.distribution(name).files or []:
            if ".." not in file.parts:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), packages / file)
    return where / "bin" / "python"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a git repository of its own."""
    checkout = tmp_path_factory.mktemp("packaging") / """it's a "copy" of it"""
    for path in project_files():
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / path, checkout / path)
    run("git", "init", "-q", cwd=checkout)
    run("git", "add", "-A", cwd=checkout)
    author = ["-c", "user.name=Tester", "-c", "user.email=tester@localhost", "-c", "commit.gpgsign=false"]
    run("git", *author, "commit", "-q", "-m", "A copy", cwd=checkout)
    return checkout


@pytest.fixture(scope="module")
def commit(copy: Path) -> str:
    return run("git", "rev-parse", "--short=12", "HEAD", cwd=copy).strip()


def build_wheel(source: Path, where: Path) -> Path:
    pip("wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", where, source)
    (wheel,) = where.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(copy, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of the installed wheel."""
    environment = tmp_path_factory.mktemp("installed") / "with spaces"
    pip("install", "--no-index", wheel, python=new_environment(environment))
    return environment / "bin" / "bulkhead"


def test_the_wheel_is_for_this_platform(wheel: Path) -> None:
    name, version, python, _abi, platform = wheel.stem.split("-")
    assert (name, version) == ("bulkhead_vmm", VERSION)
    assert python == f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert platform.startswith("linux_")


def test_the_wheel_holds_the_packages_and_the_launcher(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    in_packages = {name for name in names if name.split("/")[0] in (*PACKAGES, *COMMANDS)}
    wanted = {
        str(path)
        for path in project_files()
        if path.parts[0] in PACKAGES and path.suffix in (".py", ".pyi", ".json")
    }
    wanted |= {
        str(path.relative_to("tools"))
        for path in project_files()
        if path.parts[0] == "tools" and path.parts[1] in COMMANDS
    }
    assert {name for name in in_packages - wanted if Path(name).name not in MADE_BY_BUILDING} == set()
    assert wanted - in_packages == set()
    extensions = {"vmm_main/kvm/_kvm.abi3.so", "device_procs/data_plane/_data_plane.abi3.so"}
    made = {"vmm_main/_build_info.py", *extensions}
    assert made <= in_packages
    others = [name for name in set(names) - in_packages if ".dist-info/" not in name]
    assert others == [f"bulkhead_vmm-{VERSION}.data/scripts/bulkhead"]


def test_the_command_names_version_and_commit(installed: Path, commit: str) -> None:
    assert run(installed, "--version", environment={}) == f"Bulkhead {VERSION} ({commit})\n"


def test_the_audits_command_is_there_too(installed: Path) -> None:
    audit = installed.with_name("bulkhead-audit")
    assert run(audit, "--help").startswith("usage: bulkhead-audit ")
    ran = subprocess.run([audit, "--qmp", "/nowhere"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "bulkhead-audit: /nowhere: can't connect: No such file or directory\n"


def test_the_command_has_help(installed: Path) -> None:
    text = run(installed, "--help", environment={})
    assert text.startswith("Usage: bulkhead ")
    assert "-kernel" in text


def test_the_process_is_an_isolated_python_without_site(installed: Path) -> None:
    reader, writer = os.pipe()
    # Room for a page: help is longer, so the process stays in the middle of saying it until all is read.
    page = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen([installed, "--help"], stdout=writer, env={}) as process:
        os.close(writer)
        with open(reader, "rb", buffering=0) as said:
            first = said.read(1)
            command = Path(f"/proc/{process.pid}/cmdline").read_text(encoding="utf-8").split("\0")[:-1]
            assert len(first + said.read()) > page
    packages = next(installed.parent.parent.glob("lib/python3.*/site-packages"))
    assert command[0] == str(installed.parent / packages.parent.name)
    assert command[1:4] == ["-I", "-S", "-E"]
    assert command[4:] == [
        "-X",
        f"bulkhead_path={packages}:{packages}",
        "-X",
        f"bulkhead_launcher={installed}",
        f"{packages}/vmm_main/__main__.py",
        "--help",
    ]
    assert process.returncode == 0


def test_the_command_works_by_a_link_from_elsewhere(installed: Path, commit: str, tmp_path: Path) -> None:
    link = tmp_path / "vmm"
    link.symlink_to(installed)
    assert commit in run(link, "--version", cwd=tmp_path, environment={"PYTHONHOME": "/nowhere"})


def test_the_command_says_what_is_wrong_in_one_line(installed: Path) -> None:
    ran = subprocess.run([installed, "-kernal", "x"], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.startswith("bulkhead: ")
    assert ran.stderr.count("\n") == 1


def test_a_source_distribution_is_enough_for_the_same_wheel(
    copy: Path, commit: str, wheel: Path, tmp_path: Path
) -> None:
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    run(sys.executable, "-c", build, cwd=copy)
    (archive,) = tmp_path.glob("*.tar.gz")
    run("tar", "-x", "-f", archive, "-C", tmp_path)
    # In somebody's repository, whose commit isn't Bulkhead's.
    run("git", "init", "-q", cwd=tmp_path)
    rebuilt = build_wheel(tmp_path / f"bulkhead_vmm-{VERSION}", tmp_path / "wheel")
    assert zipfile.ZipFile(rebuilt).namelist() == zipfile.ZipFile(wheel).namelist()
    assert commit in zipfile.ZipFile(rebuilt).read("vmm_main/_build_info.py").decode()


def test_an_editable_installation_follows_the_checkout(copy: Path, commit: str, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    # Only what the build itself takes is shared: setuptools, by the path of the building python.
    python = new_environment(environment)
    shared = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    run(
        *(sys.executable, "-m", "pip", "--python", python, "-q", "install"),
        *("--no-build-isolation", "--no-deps", "--no-index", "-e", copy),
        environment={**os.environ, "PYTHONPATH": shared},
    )
    command = environment / "bin" / "bulkhead"
    assert run(command, "--version", environment={}) == f"Bulkhead {VERSION} ({commit})\n"
    version = copy / "vmm_main" / "version.py"
    text = version.read_text(encoding="utf-8")
    version.write_text(text.replace(f'"{VERSION}"', '"9.9.9"'), encoding="utf-8")
    try:
        assert run(command, "--version", environment={}) == f"Bulkhead 9.9.9 ({commit})\n"
    finally:
        version.write_text(text, encoding="utf-8")
