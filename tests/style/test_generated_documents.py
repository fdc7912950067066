"""Every generated page is what its generator, a module of tools/docs/ with PAGE and render(), writes."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol, cast

import pytest

import tools.docs
from tests.style.source_tree import CHECKOUT


class Generator(Protocol):
    """A module that writes a page."""

    __name__: str
    PAGE: Path

    @staticmethod
    def render() -> str:
        """The page's text."""


def generators() -> list[Generator]:
    modules = [
        importlib.import_module(f"tools.docs.{m.name}") for m in pkgutil.iter_modules(tools.docs.__path__)
    ]
    return [cast(Generator, module) for module in modules if hasattr(module, "PAGE")]


def complaint(generator: Generator) -> str | None:
    """What is wrong with a generator's page; None if nothing is."""
    if not generator.PAGE.exists():
        return f"{generator.PAGE.name} is missing: run python3 -m {generator.__name__}"
    if generator.PAGE.read_text(encoding="utf-8") != generator.render():
        return f"{generator.PAGE.name} is stale: run python3 -m {generator.__name__}"
    return None


def test_the_generators_are_found() -> None:
    assert CHECKOUT / "docs" / "qmp.md" in [generator.PAGE.resolve() for generator in generators()]


@pytest.mark.parametrize("generator", generators(), ids=lambda generator: generator.PAGE.name)
def test_the_page_is_fresh(generator: Generator) -> None:
    assert generator.PAGE.resolve().parent == CHECKOUT / "docs"
    assert complaint(generator) is None


@pytest.mark.parametrize("generator", generators(), ids=lambda generator: generator.PAGE.name)
def test_a_stale_or_missing_page_is_found(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    monkeypatch.setattr(generator, "PAGE", page)
    assert complaint(generator) == f"page.md is missing: run python3 -m {generator.__name__}"
    page.write_text(generator.render() + "\n", encoding="utf-8")
    assert complaint(generator) == f"page.md is stale: run python3 -m {generator.__name__}"
