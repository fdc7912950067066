"""The `bulkhead` command finds its Python and its packages in every layout they come in.

The program is launcher.c itself, compiled for a scratch prefix; what it starts is a real Python and a
stand-in for vmm_main that tells how it was started.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
# As setup.py has them.
SOURCES = [
    CHECKOUT / "vmm_main" / "launcher.c",
    CHECKOUT / "vmm_main" / "device_supervisor" / "early_spawner.c",
    CHECKOUT / "vmm_main" / "device_supervisor" / "spawner_start.c",
    CHECKOUT / "device_procs" / "zygote" / "spawner.c",
]
NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
REAL_PYTHON = Path(sys.base_prefix) / "bin" / NAME

STAND_IN = """
import json, sys
print(json.dumps({
    "where": sys.argv[0], "arguments": sys.argv[1:], "python": sys.executable,
    "isolated": sys.flags.isolated, "no_site": sys.flags.no_site, "ignores": sys.flags.ignore_environment,
    "path": sys._xoptions["bulkhead_path"].split(":"),
    "command": open("/proc/self/cmdline").read().split("\\0")[:-1],
}))
"""


class Prefix:
    """A scratch installation prefix with the launcher, and another one that stands for the system's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.prefix = root / "a prefix"
        self.system = root / "the system"
        self.program = self.prefix / "bin" / "bulkhead"
        self.program.parent.mkdir(parents=True)
        (self.system / "bin").mkdir(parents=True)

    def compile(self, *definitions: str) -> None:
        texts = {"PYTHON_NAME": NAME, "BASE_PREFIX": str(self.system)}
        defined = [f'-D{name}="{text}"' for name, text in texts.items()] + list(definitions)
        command = ["gcc", "-D_GNU_SOURCE", f"-I{CHECKOUT}", *defined, "-o", str(self.program)]
        subprocess.run([*command, *SOURCES], check=True)

    def add_python(self, where: Path) -> Path:
        """Makes where/bin/python3.n: a script, since a copied Python would look for its library there."""
        python = where / "bin" / NAME
        python.write_text(f'#!/bin/sh\nexport STARTED="$0"\nexec {REAL_PYTHON} "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        return python

    def run(self, *arguments: str, **options: Any) -> dict[str, Any]:
        ran = subprocess.run(
            [self.program, *arguments], capture_output=True, text=True, check=False, **{"env": {}, **options}
        )
        assert ran.returncode == 0, ran.stderr
        answer: dict[str, Any] = json.loads(ran.stdout)
        return answer

    def complaint(self, program: Path | None = None) -> str:
        ran = subprocess.run([program or self.program], env={}, capture_output=True, text=True, check=False)
        assert ran.returncode == 1
        assert ran.stdout == ""
        return ran.stderr


def add_code(folder: Path) -> Path:
    (folder / "vmm_main").mkdir(parents=True)
    (folder / "vmm_main" / "__main__.py").write_text(STAND_IN, encoding="utf-8")
    return folder


def add_cffi(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_cffi_backend.cpython-311-x86_64-linux-gnu.so").touch()
    return folder


def add_msgpack(folder: Path) -> Path:
    (folder / "msgpack").mkdir(parents=True, exist_ok=True)
    return folder


def add_packages(folder: Path) -> Path:
    return add_msgpack(add_cffi(folder))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program for the prefix that all tests have in turn: its path is compiled in."""
    made = Prefix(tmp_path_factory.mktemp("launcher") / "root")
    made.compile()
    return made.program.rename(made.root.with_name("compiled"))


@pytest.fixture
def prefix(compiled: Path) -> Prefix:
    root = compiled.with_name("root")
    shutil.rmtree(root)
    made = Prefix(root)
    shutil.copy(compiled, made.program)
    return made


def test_a_virtual_environment(prefix: Prefix) -> None:
    prefix.add_python(prefix.system)
    prefix.add_python(prefix.prefix)
    folder = add_packages(add_code(prefix.prefix / "lib" / NAME / "site-packages"))
    answer = prefix.run("-name", "a b", "")
    assert answer["path"] == [str(folder)] * 2
    assert answer["arguments"] == ["-name", "a b", ""]
    assert (answer["isolated"], answer["no_site"], answer["ignores"]) == (1, 1, 1)
    program = str(folder / "vmm_main" / "__main__.py")
    options = ["-X", f"bulkhead_path={folder}:{folder}", "-X", f"bulkhead_launcher={prefix.program}"]
    assert answer["command"][1:] == ["-I", "-S", "-E", *options, program, "-name", "a b", ""]


@pytest.mark.parametrize(
    ("arguments", "filters"),
    [
        (["-device", "some,x=y"], "seccomp"),
        (["--device", "some", "-disable-seccomp"], "no-seccomp"),
        (["-device", "some", "-daemonize"], None),
        (["-name", "device"], None),
    ],
)
def test_with_devices_the_spawner_is_started_first(
    prefix: Prefix, arguments: list[str], filters: str | None
) -> None:
    prefix.add_python(prefix.system)
    add_packages(add_code(prefix.prefix / "lib" / NAME / "site-packages"))
    early = [word for word in prefix.run(*arguments)["command"] if word.startswith("bulkhead_spawner=")]
    assert [word.rpartition(":")[2] for word in early] == ([] if filters is None else [filters])


@pytest.mark.parametrize(
    ("code", "cffi"),
    [
        (f"a prefix/lib/{NAME}/dist-packages", f"a prefix/lib/{NAME}/dist-packages"),
        (f"a prefix/lib64/{NAME}/site-packages", f"a prefix/lib/{NAME}/site-packages"),
        (f"a prefix/lib/{NAME}/dist-packages", "the system/lib/python3/dist-packages"),
        (f"a prefix/lib/{NAME}/site-packages", f"the system/local/lib/{NAME}/dist-packages"),
        (f"a prefix/lib/{NAME}/site-packages", f"the system/lib/{NAME}/site-packages"),
        ("the system/lib/python3/dist-packages", "the system/lib/python3/dist-packages"),
    ],
)
def test_packages_in_other_layouts(prefix: Prefix, code: str, cffi: str) -> None:
    prefix.add_python(prefix.system)
    add_code(prefix.root / code)
    add_packages(prefix.root / cffi)
    assert prefix.run()["path"] == [str(prefix.root / code), str(prefix.root / cffi)]


def test_each_package_may_lie_elsewhere(prefix: Prefix, tmp_path: Path) -> None:
    prefix.add_python(prefix.system)
    code = add_code(prefix.prefix / "lib" / NAME / "site-packages")
    cffi = add_cffi(prefix.system / "lib" / "python3" / "dist-packages")
    msgpack = add_msgpack(prefix.system / "local" / "lib" / NAME / "dist-packages")
    assert prefix.run()["path"] == [str(code), str(cffi), str(msgpack)]


def test_the_prefix_goes_before_the_system(prefix: Prefix) -> None:
    prefix.add_python(prefix.system)
    add_packages(add_code(prefix.system / "lib" / NAME / "site-packages"))
    own = add_packages(add_code(prefix.prefix / "lib" / NAME / "site-packages"))
    assert prefix.run()["path"] == [str(own), str(own)]


def test_another_pythons_packages_are_let_alone(prefix: Prefix) -> None:
    prefix.add_python(prefix.system)
    for other in ("python3.1", "python3.9", "python3.99", f"{NAME}t"):
        add_packages(add_code(prefix.prefix / "lib" / other / "site-packages"))
    assert f"no package vmm_main for {NAME} below it" in prefix.complaint()
    own = add_packages(add_code(prefix.prefix / "lib" / NAME / "site-packages"))
    assert prefix.run()["path"] == [str(own), str(own)]


@pytest.mark.parametrize("own", [True, False])
def test_the_environments_python_goes_before_the_systems(prefix: Prefix, own: bool) -> None:
    add_packages(add_code(prefix.prefix / "lib" / NAME / "site-packages"))
    system = prefix.add_python(prefix.system)
    wanted = prefix.add_python(prefix.prefix) if own else system
    stand_in = prefix.prefix / "lib" / NAME / "site-packages" / "vmm_main" / "__main__.py"
    stand_in.write_text('import json, os\nprint(json.dumps({"started": os.environ["STARTED"]}))\n')
    assert prefix.run() == {"started": str(wanted)}


def test_the_environment_has_no_say(prefix: Prefix, tmp_path: Path) -> None:
    prefix.add_python(prefix.prefix)
    folder = add_packages(add_code(prefix.prefix / "lib" / NAME / "site-packages"))
    add_code(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "json.py").write_text("raise SystemExit('from PYTHONPATH')\n")
    settings = {"PYTHONHOME": "/nowhere", "PYTHONPATH": str(tmp_path / "elsewhere"), "PATH": "/nowhere"}
    answer = prefix.run(env=settings, cwd=tmp_path / "elsewhere")
    assert answer["where"] == str(folder / "vmm_main" / "__main__.py")


def test_a_link_and_any_argv_0_will_do(prefix: Prefix, tmp_path: Path) -> None:
    prefix.add_python(prefix.prefix)
    add_packages(add_code(prefix.prefix / "lib" / NAME / "site-packages"))
    link = tmp_path / "somewhere" / "qemu"
    link.parent.mkdir()
    link.symlink_to(os.path.relpath(prefix.program, link.parent))
    for argv_0 in (str(link), "qemu", "", "/no/such/program"):
        ran = subprocess.run(
            [argv_0, "x"], executable=link, cwd="/", env={}, capture_output=True, text=True, check=True
        )
        assert json.loads(ran.stdout)["arguments"] == ["x"]


def test_an_editable_installation(prefix: Prefix, tmp_path: Path) -> None:
    checkout = add_code(tmp_path / "the checkout")
    prefix.compile(f'-DSOURCE_DIRECTORY="{checkout}"')
    prefix.add_python(prefix.prefix)
    add_code(prefix.prefix / "lib" / NAME / "site-packages")  # an older, copied one has no say
    cffi = add_packages(prefix.prefix / "lib" / NAME / "site-packages")
    assert prefix.run()["path"] == [str(checkout), str(cffi)]


def test_what_is_missing_is_named(prefix: Prefix, tmp_path: Path) -> None:
    folder = prefix.prefix / "lib" / NAME / "site-packages"
    assert prefix.complaint() == (
        f"bulkhead: {prefix.prefix}: no package vmm_main for {NAME} below it (was this program moved?)\n"
    )
    add_code(folder)
    assert prefix.complaint() == (
        f"bulkhead: {prefix.prefix}: no package cffi for {NAME} below it or {prefix.system}\n"
    )
    add_cffi(folder)
    assert prefix.complaint() == (
        f"bulkhead: {prefix.prefix}: no package msgpack for {NAME} below it or {prefix.system}\n"
    )
    add_msgpack(folder)
    python = prefix.system / "bin" / NAME
    assert prefix.complaint() == f"bulkhead: {python}: No such file or directory\n"
    prefix.add_python(prefix.system)
    assert prefix.run()["path"] == [str(folder), str(folder)]
    moved = tmp_path / "moved" / "bulkhead"
    moved.parent.mkdir()
    shutil.copy(prefix.program, moved)
    assert "was this program moved?" in prefix.complaint(moved)


def test_a_colon_in_the_path_is_refused(tmp_path: Path) -> None:
    prefix = Prefix(tmp_path / "with:colon")
    prefix.compile()
    add_packages(add_code(prefix.prefix / "lib" / NAME / "site-packages"))
    assert "can't run from a folder with a colon in its name" in prefix.complaint()
