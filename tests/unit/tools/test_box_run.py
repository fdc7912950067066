"""tools/kvm_lab's outer side against a fake QEMU: streams, statuses, deadlines, tries."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run_fake_box.py")
CHECKOUT = Path(__file__).parents[3]


class FakeBox:
    """Runs commands in the fake box."""

    def __init__(self, directory: Path) -> None:
        self._boots = directory / "boots"
        self.directory = directory

    def run(
        self, behaviour: str, command: list[str], *, given: bytes = b"", **variables: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, str(RUN), *command],
            input=given,
            capture_output=True,
            cwd=self.directory,
            env=self.environment(behaviour, **variables),
            timeout=120,
            check=False,
        )

    def environment(self, behaviour: str, **variables: str) -> dict[str, str]:
        """What makes run_fake_box.py behave."""
        fake = {"BOX_FAKE": behaviour, "BOX_FAKE_BOOTS": str(self._boots)}
        return {**os.environ, "PYTHONPATH": str(CHECKOUT), **fake, **variables}

    @property
    def shares(self) -> list[Path]:
        """The directory that each boot so far shared with the host."""
        return [Path(line) for line in self._boots.read_text().splitlines()]

    @property
    def boot_count(self) -> int:
        return len(self.shares)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[FakeBox]:
    """A fake box; however it ended, it has left nothing behind."""
    box = FakeBox(tmp_path)
    yield box
    assert box.shares
    assert [share.parent for share in box.shares if share.parent.exists()] == []


def test_streams_and_status_are_handed_through(box: FakeBox) -> None:
    given = bytes(range(256)) * 4000
    ran = box.run("run", ["sh", "-c", "cat; echo complaint >&2; exit 7"], given=given)
    assert ran.returncode == 7
    assert ran.stdout == given
    assert ran.stderr.endswith(b"complaint\n")


def test_command_gets_directory_environment_and_odd_arguments(box: FakeBox) -> None:
    ran = box.run("run", ["printf", "%s|", "two words", "it's", "$HOME", "new\nline"])
    assert ran.stdout == b"two words|it's|$HOME|new\nline|"
    ran = box.run("run,run", ["sh", "-c", 'printf %s "$ODD"; pwd'], ODD="a'b\n$c")
    assert ran.stdout == f"a'b\n$c{box.directory}\n".encode()


def test_box_that_hangs_in_boot_is_tried_again(box: FakeBox) -> None:
    ran = box.run("hang,run", ["echo", "here"])
    assert (ran.returncode, ran.stdout, box.boot_count) == (0, b"here\n", 2)
    assert b"the box was silent after" in ran.stderr


def test_box_that_dies_in_boot_is_tried_again(box: FakeBox) -> None:
    ran = box.run("die,run", ["true"])
    assert (ran.returncode, box.boot_count) == (0, 2)


def test_tries_are_bounded(box: FakeBox) -> None:
    ran = box.run("hang,hang,hang,run", ["true"])
    assert (ran.returncode, box.boot_count) == (125, 3)
    assert b"gave up after 3 tries" in ran.stderr


def test_box_that_breaks_while_the_command_runs_is_not_tried_again(box: FakeBox) -> None:
    ran = box.run("vanish,run", ["true"])
    assert (ran.returncode, box.boot_count) == (125, 1)
    assert b"Kernel panic" in ran.stderr


def test_what_the_box_says_it_lacks_is_passed_on(box: FakeBox) -> None:
    ran = box.run("refuse,run", ["true"])
    assert (ran.returncode, box.boot_count) == (125, 1)
    assert ran.stderr.endswith(b"lab: there is no KVM in here\n")


def test_command_out_of_time_is_terminated(box: FakeBox) -> None:
    ran = box.run(
        "run", ["sh", "-c", "trap 'echo bye; exit' TERM; echo hi; sleep 100 & wait"], BOX_TIMEOUT="1"
    )
    assert ran.returncode == 124
    assert ran.stdout == b"hi\nbye\n"


def test_box_that_does_not_end_is_ended(box: FakeBox) -> None:
    ran = box.run("deaf", ["sleep", "100"], BOX_TIMEOUT="1")
    assert ran.returncode == 125
    assert b"does not end by itself" in ran.stderr


def test_files_come_back(box: FakeBox) -> None:
    path = box.directory / "made_in_the_box"
    ran = box.run("run", ["sh", "-c", f"echo content >{path}"], BOX_BRING_BACK=str(path))
    assert ran.returncode == 0, ran.stderr
    assert path.read_text() == "content\n"


@pytest.mark.parametrize(
    ("command", "status", "why"),
    [("true", 123, "though it ended with status 0"), ("exit 7", 7, "it ended with status 7")],
)
def test_file_that_is_missing_is_named(box: FakeBox, command: str, status: int, why: str) -> None:
    path = box.directory / "made_in_the_box"
    ran = box.run(
        "run", ["sh", "-c", f"echo x >{path}; {command}"], BOX_BRING_BACK=f"/nonexistent/result {path}"
    )
    assert ran.returncode == status
    assert ran.stderr.endswith(
        f"lab: --bring-back: the command left no /nonexistent/result; {why}\n".encode()
    )
    assert path.read_text() == "x\n", "the other one has come"


def test_qemu_that_does_not_start_is_named_with_what_it_says(box: FakeBox) -> None:
    ran = box.run("broken", ["true"])
    assert (ran.returncode, box.boot_count) == (125, 1)
    assert b"fake_qemu doesn't start: boom; it must be QEMU with TCG and 9p" in ran.stderr


def test_reader_that_goes_away_ends_the_command(box: FakeBox) -> None:
    with subprocess.Popen(
        [sys.executable, str(RUN), "yes"],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=box.environment("run"),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"y\ny\n"
        process.stdout.close()
        assert process.wait(60) == 128 + 13
