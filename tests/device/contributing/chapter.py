"""The code blocks of CONTRIBUTING.md's chapter about devices, as what they make of a tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_CHAPTER = re.compile(r"^## How to add a device\n(.*?)^## ", re.M | re.S)
# **path**[, in `NAME`], an empty line, and a fenced block; the commands' block has no path.
_BLOCK = re.compile(r"^(?:\*\*([\w./]+)\*\*(?:, in `(\w+)`)?\n\n)?```(\w+)\n(.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """What a block is for.

    Attributes:
        path: Of the file that it is, or has a line of; "" for commands.
        table: The dict in that file that the line belongs to; "" for a whole file.
        language: "python", "c", "json" or "sh".
        text: Its lines.
    """

    path: str
    table: str
    language: str
    text: str


def blocks(document: str) -> list[Block]:
    """Every block of the chapter, in order."""
    chapter = _CHAPTER.search(document)
    assert chapter is not None, "the chapter is gone"
    found = [Block(path, table, language, text) for path, table, language, text in _BLOCK.findall(chapter[1])]
    assert len(found) == chapter[1].count("\n```") // 2, "a block that isn't told by its place"
    return found


def follow(document: str, tree: Path) -> list[str]:
    """Makes the files and the line in the tree; returns the commands to run then."""
    commands = []
    for block in blocks(document):
        path = tree / block.path
        if not block.path:
            assert block.language == "sh", block.text
            commands += block.text.splitlines()
        elif block.table:
            head = f"{block.table} = {{\n"
            text = path.read_text(encoding="utf-8")
            assert text.count(head) == 1, f"{block.path} has no {block.table}"
            path.write_text(text.replace(head, head + block.text), encoding="utf-8")
        else:
            assert not path.exists(), f"{block.path} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    return commands
