"""Runs a Python target under Atheris: python -m tests.fuzz.python_fuzzer MODULE [OPTION | CORPUS ...]

A target is a module with run(data), which raises what nobody has documented; with dictionary(), the words
that mutations are made of; and with seeds(), valid inputs.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import atheris  # type: ignore[import-untyped]

# What is measured for coverage; the rest of Python isn't ours.
MEASURED = ["vmm_main", "ipc", "device_procs", "tests.fuzz.planted"]


def main(arguments: list[str]) -> None:
    """Fuzzes; ends the process."""
    name, *options = arguments
    with atheris.instrument_imports(include=MEASURED):
        target = import_module(name)
        # Much is imported only where it is used: what isn't by now is never measured.
        for seed in target.seeds():
            target.run(seed)
    with tempfile.TemporaryDirectory(prefix="bulkhead-fuzz-") as directory:
        seeds, words = Path(directory) / "seeds", Path(directory) / "words"
        seeds.mkdir()
        for number, seed in enumerate(target.seeds()):
            (seeds / f"{number:04}").write_bytes(seed)
        lines = "".join(f'"{_escaped(word)}"\n' for word in target.dictionary())
        if lines:
            words.write_text(lines, encoding="ascii")
            options.insert(0, f"-dict={words}")
        if not any(Path(option).is_file() for option in options):
            options.append(str(seeds))
        atheris.Setup([_again(Path(directory) / "again", name), *options], target.run)
        atheris.Fuzz()


def _again(script: Path, name: str) -> str:
    """A command that does this with other options: to merge, libFuzzer starts itself by its own name."""
    words = shlex.join([sys.executable, "-m", "tests.fuzz.python_fuzzer", name])
    script.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
    script.chmod(0o700)
    return str(script)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(sys.argv[1:])
