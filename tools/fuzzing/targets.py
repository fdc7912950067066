"""What can be fuzzed: a folder of C for each device, a module of Python for each other reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
FUZZ = CHECKOUT / "tests" / "fuzz"


@dataclass(frozen=True)
class Target:
    """One thing to fuzz.

    Attributes:
        name: What it is called: `virtio-blk`, `qmp`.
        source: A device's folder, or the module's file.
    """

    name: str
    source: Path

    @property
    def is_c(self) -> bool:
        """Whether it is C, linked with libFuzzer; otherwise it is Python, run by Atheris."""
        return self.source.is_dir()

    @property
    def module(self) -> str:
        """The name to import, of one in Python."""
        return ".".join(self.source.relative_to(CHECKOUT).with_suffix("").parts)

    @property
    def corpus(self) -> Path:
        """Its inputs in the repository: valid ones, and what fuzzing has found worth keeping."""
        return FUZZ / "corpora" / self.name

    @property
    def kept(self) -> list[Path]:
        """The files of its corpus; a new target has none yet."""
        return sorted(self.corpus.glob("*"))


def all_targets() -> list[Target]:
    """In alphabetical order."""
    devices = [path.parent for path in (FUZZ / "devices").glob("*/target.c")]
    modules = [path for path in (FUZZ / "targets").glob("*.py") if path.stem != "__init__"]
    return sorted((target_of(path) for path in (*devices, *modules)), key=lambda target: target.name)


def target_of(source: Path) -> Target:
    """The target that a folder or a module's file makes."""
    return Target(source.stem.replace("_", "-"), source)
