"""CONTRIBUTING.md's device, made in a copy of the tree from the chapter's blocks alone, works in its jail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.contributing.chapter import blocks, follow
from tests.style.source_tree import CHECKOUT, project_files
from tools.fuzzing.engine import progress_in

BUILD = ".venv/bin/python setup.py -q build_ext --inplace"
PARSE = """
from vmm_main.command_line.parser import parse
device = parse(["-kernel", "/k", "-device", "virtio-echo-device,mask=90"]).devices[0]
print(device.kind, device.device_id, device.plan.config)
"""
FUZZ = """
import sys
from pathlib import Path
from tools.fuzzing import engine
from tools.fuzzing.targets import all_targets
(target,) = (each for each in all_targets() if each.name == "virtio-echo")
place = engine.Workplace(Path(sys.argv[1]), target)
sys.exit(engine.start(target, Path(sys.executable), place, 5, sys.stdout.buffer).wait())
"""
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
TESTS = "tests/device/virtio_echo"
pytestmark = pytest.mark.timeout(600)


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs this environment's Python in the tree, with the tree's modules."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )


def output_of(tree: Path, *command: str) -> str:
    """What a command that succeeds writes."""
    ran = run(tree, *command)
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-5000:]
    return ran.stdout


def make_tree(document: str, where: Path) -> Path:
    """A copy of the project with the document's device in it, built by the document's command."""
    for path in project_files():
        (where / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / path, where / path)
    subprocess.run(["git", "init", "-q"], cwd=where, check=True)
    commands = follow(document, where)
    assert BUILD in commands
    output_of(where, *BUILD.split()[1:])
    return where


@pytest.fixture(scope="module")
def document() -> str:
    return (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tree(document: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(document, tmp_path_factory.mktemp("contributing") / "bulkhead")


def test_it_works_in_its_jail(tree: Path) -> None:
    assert "3 passed" in output_of(tree, *PYTEST, TESTS)


def test_another_text_makes_another_device(document: str, tmp_path: Path) -> None:
    """The device is what the chapter says: where its C forgets the mask, its test finds that out."""
    masked, forgotten = "from->host[read++] ^ mask", "from->host[read++] | (mask & 0)"
    assert document.count(masked) == 1
    other = make_tree(document.replace(masked, forgotten), tmp_path / "bulkhead")
    ran = run(other, *PYTEST, TESTS)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "1 failed, 2 passed" in ran.stdout
    assert f"FAILED {TESTS}/test_jailed_echo.py::test_an_answer_is_the_question_masked" in ran.stdout


def test_it_is_fuzzed(tree: Path, tmp_path: Path) -> None:
    progress = progress_in(output_of(tree, "-c", FUZZ, str(tmp_path)))
    assert progress is not None
    assert progress.executions > 10


def test_nothing_of_it_is_missing(tree: Path) -> None:
    tests = ("tests/style/test_device_parts.py", "tests/unit/seccomp_profiles/test_profile_files.py")
    assert " passed" in output_of(tree, *PYTEST, *tests)


def test_a_hostile_driver_attacks_it(tree: Path) -> None:
    tests = ("tests/device/hostile_driver", "tests/unit/hostile_driver", "-k", "virtio-echo")
    passed = re.search(r"(\d+) passed", output_of(tree, *PYTEST, *tests))
    assert passed is not None
    assert int(passed[1]) > 100


def test_it_is_audited_and_hangs_like_any_other(tree: Path) -> None:
    """By tests that know nothing of it."""
    tests = ("tests/device/audit/test_each_kind.py", "tests/device/supervisor/test_heartbeat.py")
    passed = re.search(r"(\d+) passed", output_of(tree, *PYTEST, *tests, "-k", "virtio-echo"))
    assert passed is not None
    assert int(passed[1]) > 5


def test_the_command_line_has_it(tree: Path) -> None:
    assert output_of(tree, "-c", PARSE) == "virtio-echo virtio-echo0 {'mask': 90}\n"


def test_the_reference_of_options_has_it(tree: Path, document: str) -> None:
    (command,) = (line for line in blocks(document)[-1].text.splitlines() if "tools.docs" in line)
    output_of(tree, *command.split()[1:])
    assert "virtio-echo-device" in (tree / "docs" / "options.md").read_text(encoding="utf-8")
    assert " passed" in output_of(tree, *PYTEST, "tests/style/test_generated_documents.py")


def test_its_style_is_the_houses(tree: Path, document: str) -> None:
    made = [block.path for block in blocks(document) if block.language == "python"]
    assert "device_procs/virtio_echo/device.py" in made
    output_of(tree, "-m", "ruff", "check", "-q", *made)
    output_of(tree, "-m", "ruff", "format", "-q", "--check", *made)
