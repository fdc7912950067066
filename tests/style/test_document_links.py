"""No document points at what isn't there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.style.document_links import broken_links
from tests.style.source_tree import CHECKOUT, plant, project_files

TREE = {
    "tools/test": "",
    "docs/testing.md": "# Testing\n\n## Where real KVM is (and isn't)\n",
    "README.md": "",
}


def test_every_link_of_the_project_leads_somewhere() -> None:
    files = project_files()
    assert Path("README.md") in [Path(path) for path in files]
    assert list(broken_links(CHECKOUT, files)) == []


@pytest.mark.parametrize(
    "text",
    [
        "[how](docs/testing.md)",
        "[how](docs/testing.md#where-real-kvm-is-and-isnt)",
        "[there](https://www.kernel.org/doc/)",
        "`./tools/test unit guest`, `tools/test`, `docs/`, `/dev/kvm`, `name/value`",
        "```\n[x](nowhere.md) `tools/nothing`\n```",
    ],
)
def test_a_good_link_is_let_alone(tmp_path: Path, text: str) -> None:
    assert list(broken_links(tmp_path, plant(tmp_path, {**TREE, "README.md": text}))) == []


@pytest.mark.parametrize(
    "text",
    [
        "[how](docs/tests.md)",
        "[how](docs/testing.md#where-it-isnt)",
        "[above](#nothing)",
        "Run `./tools/tests unit`.",
        "Read `docs/decisions/`.",
    ],
)
def test_a_broken_link_is_found(tmp_path: Path, text: str) -> None:
    assert len(list(broken_links(tmp_path, plant(tmp_path, {**TREE, "README.md": text})))) == 1
