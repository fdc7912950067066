"""A device's C and its worker as a program under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from device_procs.device_registry import KINDS
from tests.unit.data_plane.sanitized_build import CHECKOUT, FLAGS, MEMORY
from tools.build_cache import cached

PROGRAM = Path(__file__).with_name("standalone_program.c")
DATA_PLANE = CHECKOUT / "device_procs" / "data_plane"
WITHOUT = {"null_device.c"}
HEADERS = sorted((*CHECKOUT.glob("device_procs/**/*.h"), *CHECKOUT.glob("tests/device/hostile_driver/*.h")))
LIBRARIES = ("-pthread", "-l:liburing.a")


@dataclass(frozen=True)
class Mutant:
    """A source with something left out of it.

    Attributes:
        source: Below the checkout.
        old: Part of its text, there once.
        new: What is in its place.
    """

    source: str
    old: str
    new: str

    def text(self) -> str:
        """The source as it is with that."""
        sound = (CHECKOUT / self.source).read_text(encoding="utf-8")
        assert sound.count(self.old) == 1, f"{self.source} has not once: {self.old}"
        return sound.replace(self.old, self.new)


def sources_of(kind: str) -> list[Path]:
    """Everything that the program of a kind is made of."""
    folder = KINDS[kind][1]
    plane = [
        path for path in sorted(DATA_PLANE.glob("*.c")) if path.name not in WITHOUT and path.name[0] != "_"
    ]
    own = sorted((CHECKOUT / "device_procs" / folder).glob("*.c"))
    return [PROGRAM, CHECKOUT / "tests" / "device" / folder / "standalone_device.c", *plane, *own]


def _objects(kind: str) -> Path:
    """The directory with every source's object."""
    sources = sources_of(kind)

    def make(directory: Path) -> None:
        running = [
            subprocess.Popen(
                ["gcc", *FLAGS, *MEMORY, "-I", CHECKOUT, "-c", "-o", directory / _object_name(source), source]
            )
            for source in sources
        ]
        assert [process.wait() for process in running] == [0] * len(running)

    return cached(f"standalone-{kind}", [*sources, *HEADERS, *FLAGS, *MEMORY], make)


def _object_name(source: Path) -> str:
    return f"{source.parent.name}-{source.stem}.o"


def build(kind: str, where: Path, mutant: Mutant | None = None) -> Path:
    """The program of a kind in `where`, or what becomes of it with one source spoiled."""
    objects = {path.name: path for path in sorted(_objects(kind).glob("*.o"))}
    if mutant is not None:
        source = CHECKOUT / mutant.source
        text = where / source.name
        text.write_text(mutant.text(), encoding="utf-8")
        made = where / _object_name(source)
        include = ("-I", CHECKOUT, "-iquote", source.parent)
        unused = ("-Wno-unused-function", "-Wno-unused-parameter", "-Wno-unused-variable", "-Wno-type-limits")
        subprocess.run(["gcc", *FLAGS, *unused, *MEMORY, *include, "-c", "-o", made, text], check=True)
        assert made.name in objects
        objects[made.name] = made
    executable = where / "standalone"
    subprocess.run(["gcc", *MEMORY, "-o", executable, *objects.values(), *LIBRARIES], check=True)
    return executable
